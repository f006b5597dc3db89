use super::*;

/// What a file with this refresh token says, its content being the token and a mark.
fn news(store: &Store, path: &str, refresh: &str, mark: &str) -> FileNews {
    let credential = Credential {
        extra: map(json!({"project": "p", "id_token": mark})),
        ..Credential::from_refresh(refresh)
    };
    FileNews {
        path: path.into(),
        digest: store.digest(&format!("{refresh}{mark}")),
        credential,
        limits: crate::limits::Wanted::default(),
        replaces: None,
        renewed: &["id_token"],
    }
}

async fn taken(store: &Store, news: FileNews) -> Row {
    store.take_file("acme", news).await.unwrap().remove(0)
}

/// A file whose account was enrolled as `subject`.
async fn pooled(store: &Store, path: &str, subject: &str, refresh: &str) -> Row {
    let row = taken(store, news(store, path, refresh, "1")).await;
    let extra = row.credential.extra.clone();
    let enrolled = vec![Credential { extra, ..known(subject, refresh) }];
    store.enrolled(row.id, enrolled, State::Active).await.unwrap().remove(0)
}

async fn renewed(store: &Store, row: &Row, refresh: &str) -> Row {
    let begun = store.begin_refresh(row.id, row.revision).await.unwrap().unwrap();
    let answer = Credential { extra: map(json!({"id_token": "new"})), ..Credential::from_refresh(refresh) };
    store.save_refreshed(&begun, &answer).await.unwrap().remove(0)
}

async fn file_accounts(store: &Store) -> Vec<(String, Option<i64>)> {
    let mut files: Vec<_> =
        store.files().await.unwrap().into_iter().map(|file| (file.path, file.account)).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_spent_token_says_whose_file_it_is_and_nothing_else() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = pooled(&store, "/a", "s", "r1").await;
        let row = renewed(&store, &row, "r2").await;
        let store = ground.reopen(store).await;
        for (path, mark) in [("/a", "1"), ("/a", "2"), ("/copy", "3")] {
            let again = taken(&store, news(&store, path, "r1", mark)).await;
            assert_eq!(
                (again.id, again.state, refresh_of(&again)),
                (row.id, State::Active, "r2"),
                "{path} {mark}"
            );
            assert_eq!(again.credential.extra("id_token"), Some("new"), "{path} {mark}");
        }
        assert_eq!(store.list().await.unwrap().len(), 1);
        let both = [("/a".to_owned(), Some(row.id)), ("/copy".to_owned(), Some(row.id))];
        assert_eq!(file_accounts(&store).await, both);
    })
    .await;
}

#[tokio::test]
async fn an_account_departs_with_its_last_file_and_comes_back_with_its_newest_tokens() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = pooled(&store, "/a", "s", "r1").await;
        taken(&store, news(&store, "/b", "r1", "1")).await;
        renewed(&store, &row, "r2").await;
        assert!(store.files_gone(&["/a".into(), "/never".into()]).await.unwrap().is_empty());
        let departed = store.files_gone(&["/b".into()]).await.unwrap();
        assert_eq!((departed[0].id, departed[0].state), (row.id, State::Departed));
        assert!(store.list().await.unwrap().is_empty());
        assert!(store.get(row.id).await.unwrap().is_none());
        assert!(store.set_state(row.id, State::Active, None).await.unwrap().is_none());
        let back = taken(&store, news(&store, "/c", "r1", "9")).await;
        assert_eq!((back.id, back.state, refresh_of(&back)), (row.id, State::Validating, "r2"));
    })
    .await;
}

#[tokio::test]
async fn who_departed_long_ago_is_forgotten() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = pooled(&store, "/a", "s", "r1").await;
        store.files_gone(&["/a".into()]).await.unwrap();
        store.purge_departed(SystemTime::now()).await.unwrap();
        assert_eq!(taken(&store, news(&store, "/a", "r1", "1")).await.id, row.id);
        store.files_gone(&["/a".into()]).await.unwrap();
        store.purge_departed(SystemTime::now() + Duration::from_hours(24 * 31)).await.unwrap();
        assert_ne!(taken(&store, news(&store, "/a", "r1", "1")).await.id, row.id);
    })
    .await;
}

#[tokio::test]
async fn a_login_of_somebody_who_departed_needs_the_approval_of_its_own() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = pooled(&store, "/a", "s", "r1").await;
        store.files_gone(&["/a".into()]).await.unwrap();
        let guest = ingested(&store, stranger(Credential::from_refresh("r9"))).await;
        let rows = store.enrolled(guest.id, vec![known("s", "r9")], State::Pending).await.unwrap();
        assert_eq!((rows[0].id, rows[0].state, rows[0].trusted), (row.id, State::Pending, false));
        assert_eq!(rows[0].origin, "203.0.113.9");
    })
    .await;
}

#[tokio::test]
async fn another_account_in_a_file_takes_over_once_it_has_proved_itself() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let first = pooled(&store, "/a", "s", "r1").await;
        // Two that never prove themselves, then one that does.
        for refresh in ["bad1", "bad2"] {
            let rows = store.take_file("acme", news(&store, "/a", refresh, "1")).await.unwrap();
            store.set_state(rows[0].id, State::Suspended, None).await.unwrap();
        }
        assert_eq!(store.get(first.id).await.unwrap().unwrap().state, State::Active);
        assert_eq!(store.list().await.unwrap().len(), 2, "the first of the bad ones is gone");
        let next = taken(&store, news(&store, "/a", "r2", "1")).await;
        let rows = store.enrolled(next.id, vec![known("t", "r2")], State::Active).await.unwrap();
        let states: Vec<_> = rows.iter().map(|row| (row.id, row.state)).collect();
        assert_eq!(states, [(next.id, State::Active), (first.id, State::Departed)]);
        assert_eq!(store.list().await.unwrap().len(), 1);
        assert_eq!(file_accounts(&store).await, [("/a".to_owned(), Some(next.id))]);
    })
    .await;
}

#[tokio::test]
async fn one_account_alone_has_what_a_file_says_it_replaces_by() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let exclusive =
            |path, refresh| FileNews { replaces: Some("project"), ..news(&store, path, refresh, "1") };
        let mut ids = Vec::new();
        for (path, subject, refresh) in [("/a", "s", "r1"), ("/b", "t", "r2")] {
            let row = taken(&store, exclusive(path, refresh)).await;
            let extra = row.credential.extra.clone();
            let enrolled = vec![Credential { extra, ..known(subject, refresh) }];
            let rows = store.enrolled(row.id, enrolled, State::Active).await.unwrap();
            ids.push(rows.iter().map(|row| row.id).collect::<Vec<_>>());
        }
        assert_eq!(ids[1], [ids[1][0], ids[0][0]], "the first departed");
        let left: Vec<_> = store.list().await.unwrap().iter().map(|row| row.id).collect();
        assert_eq!(left, [ids[1][0]]);
    })
    .await;
}

#[tokio::test]
async fn an_access_token_that_somebody_else_renewed_is_taken_over() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = pooled(&store, "/a", "s", "r1").await;
        let with = |access: &str, end: u64| {
            let mut news = news(&store, "/a", "r1", access);
            news.credential.access = Some(Secret::new(access));
            news.credential.expires_at = Some(at(end));
            news
        };
        let newer = taken(&store, with("newer", 6000)).await;
        assert_eq!((newer.id, newer.state), (row.id, State::Active));
        assert_eq!(newer.credential.access, Some(Secret::new("newer")));
        let older = taken(&store, with("older", 5500)).await;
        assert_eq!(older.credential.access, Some(Secret::new("newer")));
    })
    .await;
}
