use super::*;

#[tokio::test]
async fn a_token_that_is_stored_already_makes_no_second_row() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let twice = vec![trusted(Credential::from_refresh("r1")), trusted(Credential::from_refresh("r1"))];
        let rows = store.ingest("acme", twice).await.unwrap();
        assert_eq!((rows.len(), rows[0].id), (2, rows[1].id));
        assert_eq!(rows[0].state, State::Validating);
        assert_eq!(rows[0].credential.subject, None);
        assert_eq!(ingested(&store, trusted(Credential::from_refresh("r1"))).await.id, rows[0].id);
        let others = [Credential::from_refresh("r2"), Credential::from_key("k1")];
        let others = store.ingest("acme", others.map(trusted).to_vec()).await.unwrap();
        let elsewhere = store.ingest("other", vec![trusted(Credential::from_refresh("r1"))]).await.unwrap();
        assert_ne!(elsewhere[0].id, rows[0].id);
        assert_eq!(store.list().await.unwrap().len(), 2 + others.len());
        assert_eq!(ingested(&store, trusted(Credential::from_key("k1"))).await.id, others[1].id);
    })
    .await;
}

#[tokio::test]
async fn of_a_batch_all_is_kept_or_nothing() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let empty = Credential { refresh: None, ..Credential::from_refresh("") };
        let batch = vec![trusted(Credential::from_refresh("r1")), trusted(empty)];
        assert!(matches!(store.ingest("acme", batch).await, Err(StoreError::NoToken)));
        assert!(store.list().await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_newcomer_cannot_touch_the_account_it_claims_to_be() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let real = active(&store, "victim", "r1").await;
        let claim = ingested(&store, stranger(known("victim", "evil"))).await;
        assert_ne!(claim.id, real.id);
        assert_eq!(claim.credential.subject, None);
        assert_eq!(refresh_of(&store.get(real.id).await.unwrap().unwrap()), "r1");
    })
    .await;
}

#[tokio::test]
async fn one_login_with_another_project_is_a_row_of_its_own() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let with = |project: &str| {
            let extra = map(json!({"project": project}));
            trusted(Credential { extra, ..Credential::from_refresh("r1") })
        };
        let plain = ingested(&store, trusted(Credential::from_refresh("r1"))).await;
        let first = ingested(&store, with("p1")).await;
        assert_eq!(first.id, plain.id, "it only says more about the one that waits");
        let second = ingested(&store, with("p2")).await;
        assert_ne!(second.id, first.id);
        assert_eq!(second.token_hash, first.token_hash);
        for (project, row) in [("p1", &first), ("p2", &second)] {
            let again = ingested(&store, with(project)).await;
            assert_eq!((again.id, again.credential.extra("project")), (row.id, Some(project)));
        }
        assert_eq!(store.list().await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn the_first_account_of_a_login_takes_its_row_and_the_others_get_theirs() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = ingested(&store, stranger(Credential::from_refresh("r1"))).await;
        let found = vec![known("s1", "r1"), known("s2", "r1")];
        let rows = store.enrolled(row.id, found.clone(), State::Pending).await.unwrap();
        assert_eq!((rows[0].id, rows[0].credential.subject.as_deref()), (row.id, Some("s1")));
        assert_eq!(rows[1].credential.subject.as_deref(), Some("s2"));
        assert_eq!(rows[0].token_hash, rows[1].token_hash);
        for row in &rows {
            assert_eq!((row.state, row.trusted, row.origin.as_str()), (State::Pending, false, "203.0.113.9"));
        }
        let again = store.enrolled(rows[1].id, found, State::Pending).await.unwrap();
        assert_eq!(again.iter().map(|row| row.id).collect::<Vec<_>>(), [rows[0].id, rows[1].id]);
        assert_eq!(store.list().await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn the_same_account_added_twice_is_one_with_the_newer_tokens() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let old = active(&store, "s", "r1").await;
        let first = Wanted { priority: Some(Some(4)), ..Wanted::default() };
        store.amend(old.id, map(json!({"project": "kept", "plan": "free"})), &first).await.unwrap();
        let reason = pollux_sdk::Reason::new("invalid_grant", "the grant is revoked");
        store.set_state(old.id, State::Suspended, Some(reason)).await.unwrap();
        let guest = ingested(&store, trusted(Credential::from_refresh("r2"))).await;
        let newer = Credential { label: None, extra: map(json!({"plan": "pro"})), ..known("s", "r2") };
        let rows = store.enrolled(guest.id, vec![newer], State::Active).await.unwrap();
        assert_eq!((rows.len(), rows[0].id), (1, old.id));
        let row = store.get(old.id).await.unwrap().unwrap();
        assert_eq!((row.state, row.reason, row.limits.priority), (State::Active, None, 4));
        assert_eq!(row.credential.refresh, Some(Secret::new("r2")));
        assert_eq!(row.credential.access, Some(Secret::new("access-of-r2")));
        assert_eq!(row.credential.label.as_deref(), Some("s@example.org"));
        assert_eq!(row.credential.extra, map(json!({"project": "kept", "plan": "pro"})));
        assert!(row.revision > old.revision && row.token_hash != old.token_hash);
        assert!(store.get(guest.id).await.unwrap().is_none());
        assert!(store.enrolled(guest.id, vec![known("s", "r3")], State::Active).await.unwrap().is_empty());
        assert_eq!(store.list().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_pause_and_a_missing_approval_outlive_a_new_login() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let paused = active(&store, "paused", "r1").await;
        store.set_state(paused.id, State::Paused, None).await.unwrap();
        let pending = ingested(&store, stranger(Credential::from_refresh("r2"))).await;
        store.enrolled(pending.id, vec![known("pending", "r2")], State::Pending).await.unwrap();
        let again = async |subject: &str, token: &str, newcomer: fn(Credential) -> Newcomer| {
            let row = ingested(&store, newcomer(Credential::from_refresh(token))).await;
            let rows = store.enrolled(row.id, vec![known(subject, token)], State::Active).await.unwrap();
            (rows[0].id, rows[0].state)
        };
        assert_eq!(again("paused", "r3", trusted).await, (paused.id, State::Paused));
        assert_eq!(again("pending", "r4", stranger).await, (pending.id, State::Pending));
        let approved = store.approve(pending.id).await.unwrap().unwrap();
        assert_eq!((approved.state, approved.trusted), (State::Active, true));
        let guest = ingested(&store, stranger(Credential::from_refresh("r5"))).await;
        let rows = store.enrolled(guest.id, vec![known("pending", "r5")], State::Pending).await.unwrap();
        assert_eq!((rows[0].id, rows[0].state), (pending.id, State::Active));
        let paused = store.approve(paused.id).await.unwrap().unwrap();
        assert_eq!(paused.state, State::Paused, "approval is not the end of a pause");
    })
    .await;
}

#[tokio::test]
async fn a_key_without_a_subject_becomes_an_account_and_stays_recognisable() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let key = Credential::from_key("k1");
        let row = ingested(&store, trusted(key.clone())).await;
        let rows = store.enrolled(row.id, vec![key.clone()], State::Active).await.unwrap();
        assert_eq!((rows[0].id, rows[0].state), (row.id, State::Active));
        let again = ingested(&store, trusted(key)).await;
        assert_eq!((again.id, again.state), (row.id, State::Active));
        assert_eq!(store.list().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_enrolment_does_not_bring_back_tokens_that_were_refreshed_meanwhile() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = ingested(&store, trusted(Credential::from_refresh("r1"))).await;
        let enrolling = known("s", "r1");
        let begun = store.begin_refresh(row.id, row.revision).await.unwrap().unwrap();
        let answer = Credential { access: Some(Secret::new("a2")), ..Credential::from_refresh("r2") };
        store.save_refreshed(&begun, &answer).await.unwrap();
        let rows = store.enrolled(row.id, vec![enrolling], State::Active).await.unwrap();
        assert_eq!((rows[0].state, refresh_of(&rows[0])), (State::Active, "r2"));
        assert_eq!(rows[0].credential.access, Some(Secret::new("a2")));
        assert_eq!(rows[0].credential.subject.as_deref(), Some("s"));
    })
    .await;
}

#[tokio::test]
async fn the_owner_changes_what_was_said_and_nothing_else() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = active(&store, "s", "r1").await;
        let limit = |limit| Wanted { max_concurrency: Some(limit), ..Wanted::default() };
        store.amend(row.id, map(json!({"a": 1, "b": 2})), &limit(Some(9))).await.unwrap();
        let last = Wanted { priority: Some(Some(-1)), ..Wanted::default() };
        let row = store.amend(row.id, map(json!({"a": null, "c": 3})), &last).await.unwrap().unwrap();
        assert_eq!(row.credential.extra, map(json!({"b": 2, "c": 3})));
        assert_eq!((row.limits.priority, row.limits.max_concurrency), (-1, Some(9)));
        assert_eq!(refresh_of(&row), "r1");
        let row = store.amend(row.id, Map::new(), &limit(None)).await.unwrap().unwrap();
        assert_eq!((row.limits.priority, row.limits.max_concurrency), (-1, None));
        assert!(store.amend(row.id + 1, Map::new(), &last).await.unwrap().is_none());
        assert!(store.set_state(row.id + 1, State::Paused, None).await.unwrap().is_none());
        assert!(store.remove(row.id).await.unwrap());
        assert!(!store.remove(row.id).await.unwrap());
        let next = active(&store, "t", "r2").await;
        assert_ne!(next.id, row.id, "an id is never given again");
    })
    .await;
}

#[tokio::test]
async fn an_owners_word_outlives_new_logins_and_comes_with_one() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = active(&store, "s", "r1").await;
        let named = Wanted { label: Some(Some("mine".into())), weight: Some(Some(5)), ..Wanted::default() };
        store.amend(row.id, Map::new(), &named).await.unwrap();

        let again = store.ingest("acme", vec![trusted(Credential::from_refresh("r2"))]).await.unwrap();
        let rows = store.enrolled(again[0].id, vec![known("s", "r2")], State::Active).await.unwrap();
        let label = |row: &Row| row.credential.label.clone();
        assert_eq!(
            (rows[0].id, label(&rows[0]).as_deref(), rows[0].limits.weight),
            (row.id, Some("mine"), 5)
        );

        let limits = Wanted { priority: Some(Some(3)), ..Wanted::default() };
        let third = Newcomer { limits, ..trusted(Credential::from_refresh("r3")) };
        let again = store.ingest("acme", vec![third]).await.unwrap();
        let rows = store.enrolled(again[0].id, vec![known("s", "r3")], State::Active).await.unwrap();
        assert_eq!(
            (rows[0].limits.priority, rows[0].limits.weight),
            (3, 5),
            "what came with it, and the rest"
        );

        let weight = Wanted { weight: Some(Some(2)), ..Wanted::default() };
        let same = Newcomer { limits: weight, ..trusted(Credential::from_refresh("r3")) };
        let rows = store.ingest("acme", vec![same]).await.unwrap();
        assert_eq!((rows[0].id, rows[0].limits.weight, rows[0].state), (row.id, 2, State::Active));

        let nameless = Wanted { label: Some(None), ..Wanted::default() };
        store.amend(row.id, Map::new(), &nameless).await.unwrap();
        let rows = store.enrolled(row.id, vec![known("s", "r3")], State::Active).await.unwrap();
        assert_eq!(label(&rows[0]).as_deref(), Some("s@example.org"), "the vendor's name is back");
    })
    .await;
}
