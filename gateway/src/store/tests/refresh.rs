use super::*;
use crate::store::entity::credential::{Column, Entity};
use futures_util::future::join_all;
use pollux_sdk::Reason;
use sea_orm::{EntityTrait, sea_query::Expr};

fn answer(refresh: &str) -> Credential {
    let access = Some(Secret::new(format!("access-of-{refresh}")));
    Credential { access, expires_at: Some(at(9000)), ..Credential::from_refresh(refresh) }
}

fn lost() -> Reason {
    Reason::new("refresh_interrupted", "log in again")
}

#[tokio::test]
async fn of_many_that_want_to_refresh_one_may() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = active(&store, "s", "r1").await;
        let replica = if ground.shared() { ground.open().await } else { store.clone() };
        let tasks = (0..40).map(|n| {
            let (store, row) = (if n % 2 == 0 { store.clone() } else { replica.clone() }, row.clone());
            tokio::spawn(async move { store.begin_refresh(row.id, row.revision).await.unwrap() })
        });
        let begun: Vec<_> = join_all(tasks).await.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(begun.len(), 1);
        let rows = replica.save_refreshed(&begun[0], &answer("r2")).await.unwrap();
        assert_eq!((refresh_of(&rows[0]), rows[0].refresh_intent), ("r2", false));
        assert!(store.begin_refresh(row.id, row.revision).await.unwrap().is_none(), "the revision moved on");
        assert!(store.begin_refresh(row.id, rows[0].revision).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_refresh_waits_for_a_change_under_way_and_then_sees_it() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = active(&store, "s", "r1").await;
        let replica = if ground.shared() { ground.open().await } else { store.clone() };
        let turn = store.turn().await.unwrap();
        let task = tokio::spawn(async move { replica.begin_refresh(row.id, row.revision).await.unwrap() });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!task.is_finished());
        let changed = Entity::update_many().col_expr(Column::Revision, Expr::value(row.revision + 1));
        changed.exec(&turn).await.unwrap();
        turn.commit().await.unwrap();
        assert!(task.await.unwrap().is_none(), "it looked at what was there before the change");
    })
    .await;
}

#[tokio::test]
async fn accounts_of_one_login_are_refreshed_as_one() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let guest = ingested(&store, trusted(Credential::from_refresh("r1"))).await;
        let account = |subject: &str, project: &str| {
            let extra = map(json!({"project": project}));
            Credential { extra, ..known(subject, "r1") }
        };
        let found = vec![account("s1", "p1"), account("s2", "p2")];
        let rows = store.enrolled(guest.id, found, State::Active).await.unwrap();
        let alone = active(&store, "s3", "other").await;
        let replica = if ground.shared() { ground.open().await } else { store.clone() };
        let (one, two) = tokio::join!(
            store.begin_refresh(rows[0].id, rows[0].revision),
            replica.begin_refresh(rows[1].id, rows[1].revision)
        );
        let mut begun: Vec<Row> = one.unwrap().into_iter().chain(two.unwrap()).collect();
        assert_eq!(begun.len(), 1);
        let intents: Vec<_> = store.list().await.unwrap().iter().map(|row| row.refresh_intent).collect();
        assert_eq!(intents, [true, true, false]);

        let extra = map(json!({"id_token": "i"}));
        let refreshed = Credential { extra, ..answer("r2") };
        let saved = store.save_refreshed(&begun.remove(0), &refreshed).await.unwrap();
        assert_eq!(saved.len(), 2);
        for (row, project) in saved.iter().zip(["p1", "p2"]) {
            assert_eq!((refresh_of(row), row.refresh_intent, row.state), ("r2", false, State::Active));
            assert_eq!(row.credential.access, Some(Secret::new("access-of-r2")));
            assert_eq!(row.credential.expires_at, Some(at(9000)));
            assert_eq!(row.credential.extra, map(json!({"project": project, "id_token": "i"})));
        }
        assert_eq!(refresh_of(&store.get(alone.id).await.unwrap().unwrap()), "other");
    })
    .await;
}

#[tokio::test]
async fn an_answer_without_a_refresh_token_leaves_the_stored_one() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = active(&store, "s", "r1").await;
        let begun = store.begin_refresh(row.id, row.revision).await.unwrap().unwrap();
        let access_only = Credential { refresh: None, ..answer("r2") };
        let saved = store.save_refreshed(&begun, &access_only).await.unwrap().remove(0);
        assert_eq!((refresh_of(&saved), &saved.token_hash), ("r1", &row.token_hash));
        assert_eq!(saved.credential.access, Some(Secret::new("access-of-r2")));
        assert!(store.begin_refresh(saved.id, saved.revision).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_crash_between_intent_and_answer_is_seen_and_the_token_is_never_tried_again() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = active(&store, "s", "r1").await;
        store.begin_refresh(row.id, row.revision).await.unwrap().unwrap();
        assert!(store.interrupted().await.unwrap().is_empty(), "this process is still at it");

        let store = ground.reopen(store).await;
        if ground.shared() {
            assert!(store.interrupted().await.unwrap().is_empty(), "another replica may be at it");
            Entity::update_many()
                .col_expr(Column::RefreshIntentAt, Expr::value(1))
                .exec(&store.0.db)
                .await
                .unwrap();
        }
        let found = store.interrupted().await.unwrap();
        assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), [row.id]);
        assert!(store.begin_refresh(row.id, row.revision).await.unwrap().is_none());
        let marked = store.lost_refresh(&found[0], &lost()).await.unwrap().remove(0);
        assert_eq!((marked.state, marked.refresh_intent), (State::RefreshUnknown, false));
        assert_eq!(marked.reason, Some(lost()));
        assert!(store.interrupted().await.unwrap().is_empty());

        assert!(store.begin_refresh(row.id, marked.revision).await.unwrap().is_none());
        let again = ingested(&store, trusted(Credential::from_refresh("r1"))).await;
        assert_eq!((again.id, again.state), (row.id, State::RefreshUnknown));
        let paused = store.set_state(row.id, State::Paused, None).await.unwrap().unwrap();
        assert_eq!(paused.state, State::Paused);
        assert!(store.begin_refresh(row.id, paused.revision).await.unwrap().is_none());
        let forced = store.set_state(row.id, State::Active, None).await.unwrap().unwrap();
        assert_eq!(forced.state, State::RefreshUnknown);
        assert!(store.begin_refresh(row.id, forced.revision).await.unwrap().is_none());
        let same = store.enrolled(row.id, vec![known("s", "r1")], State::Active).await.unwrap();
        assert_eq!(same[0].state, State::RefreshUnknown);
        let project = Credential { extra: map(json!({"project": "p"})), ..Credential::from_refresh("r1") };
        let sibling = ingested(&store, trusted(project)).await;
        assert_eq!(sibling.state, State::RefreshUnknown, "another project does not make the token good");
        store.remove(sibling.id).await.unwrap();
        store.remove(row.id).await.unwrap();
        let fresh = ingested(&store, trusted(Credential::from_refresh("r1"))).await;
        assert_eq!(fresh.state, State::RefreshUnknown, "not even after the account is gone");

        let login = ingested(&store, trusted(Credential::from_refresh("r9"))).await;
        let rows = store.enrolled(login.id, vec![known("s", "r9")], State::Active).await.unwrap();
        assert_eq!((rows[0].state, refresh_of(&rows[0])), (State::Active, "r9"));
        assert!(store.begin_refresh(rows[0].id, rows[0].revision).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_new_login_brings_an_account_back_that_was_lost() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = active(&store, "s", "r1").await;
        let begun = store.begin_refresh(row.id, row.revision).await.unwrap().unwrap();
        store.lost_refresh(&begun, &lost()).await.unwrap();
        let login = ingested(&store, trusted(Credential::from_refresh("r2"))).await;
        let back = store.enrolled(login.id, vec![known("s", "r2")], State::Active).await.unwrap().remove(0);
        assert_eq!((back.id, back.state, back.reason.clone()), (row.id, State::Active, None));
        assert!(store.begin_refresh(back.id, back.revision).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_comes_after_all_is_kept() {
    everywhere(async |ground| {
        let store = ground.open().await;
        for (subject, before, after) in [("rotating", "r1", "r2"), ("lasting", "r3", "r3")] {
            let row = active(&store, subject, before).await;
            let begun = store.begin_refresh(row.id, row.revision).await.unwrap().unwrap();
            store.lost_refresh(&begun, &lost()).await.unwrap();
            let saved = store.save_refreshed(&begun, &answer(after)).await.unwrap().remove(0);
            assert_eq!((saved.state, saved.reason.clone(), refresh_of(&saved)), (State::Active, None, after));
            assert!(store.begin_refresh(saved.id, saved.revision).await.unwrap().is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn a_refresh_that_spent_nothing_may_be_begun_again() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = active(&store, "s", "r1").await;
        let begun = store.begin_refresh(row.id, row.revision).await.unwrap().unwrap();
        store.abandon_refresh(&begun).await.unwrap();
        assert!(!store.get(row.id).await.unwrap().unwrap().refresh_intent);
        let begun = store.begin_refresh(row.id, row.revision).await.unwrap().unwrap();
        let reason = Reason::new("invalid_grant", "the grant is revoked");
        let refused = store.refuse_refresh(&begun, &reason).await.unwrap().remove(0);
        assert_eq!((refused.state, refused.reason), (State::Suspended, Some(reason)));
        assert!(!refused.refresh_intent);
    })
    .await;
}

#[tokio::test]
async fn a_token_that_was_used_up_leads_to_the_account_it_became() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let mut row = active(&store, "s", "r1").await;
        for token in ["r2", "r3"] {
            let begun = store.begin_refresh(row.id, row.revision).await.unwrap().unwrap();
            row = store.save_refreshed(&begun, &answer(token)).await.unwrap().remove(0);
        }
        for token in ["r1", "r2", "r3"] {
            let known = ingested(&store, trusted(Credential::from_refresh(token))).await;
            assert_eq!((known.id, known.state, refresh_of(&known)), (row.id, State::Active, "r3"), "{token}");
        }
        store.remove(row.id).await.unwrap();
        for token in ["r1", "r2"] {
            let orphan = ingested(&store, trusted(Credential::from_refresh(token))).await;
            assert_eq!(orphan.state, State::RefreshUnknown, "{token}");
            assert_eq!(orphan.reason.unwrap().code, "refresh_token_spent");
            let again = ingested(&store, trusted(Credential::from_refresh(token))).await;
            assert_eq!(again.id, orphan.id);
        }
        let unused = ingested(&store, trusted(Credential::from_refresh("r3"))).await;
        assert_eq!(unused.state, State::Validating);
    })
    .await;
}

#[tokio::test]
async fn a_newcomer_refreshed_before_it_is_enrolled_stays_one_row() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = ingested(&store, trusted(Credential::from_refresh("r1"))).await;
        let begun = store.begin_refresh(row.id, row.revision).await.unwrap().unwrap();
        let saved = store.save_refreshed(&begun, &answer("r2")).await.unwrap().remove(0);
        assert_eq!((saved.state, saved.credential.subject.clone()), (State::Validating, None));
        for token in ["r1", "r2"] {
            assert_eq!(ingested(&store, trusted(Credential::from_refresh(token))).await.id, row.id);
        }
        assert_eq!(store.list().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_answer_to_a_login_that_was_replaced_leaves_the_newer_one() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = active(&store, "s", "r1").await;
        let begun = store.begin_refresh(row.id, row.revision).await.unwrap().unwrap();
        let login = ingested(&store, trusted(Credential::from_refresh("n1"))).await;
        let renewed =
            store.enrolled(login.id, vec![known("s", "n1")], State::Active).await.unwrap().remove(0);
        assert!(!renewed.refresh_intent);
        assert!(store.save_refreshed(&begun, &answer("r2")).await.unwrap().is_empty());
        let row = store.get(row.id).await.unwrap().unwrap();
        assert_eq!((refresh_of(&row), row.state), ("n1", State::Active));
        assert!(store.begin_refresh(row.id, row.revision).await.unwrap().is_some());
    })
    .await;
}
