use super::*;

pub(super) fn login(id: &str, expires_at: SystemTime) -> LoginRow {
    LoginRow {
        id_hash: id.into(),
        provider: "acme".into(),
        state: Secret::new("clear-state"),
        verifier: Secret::new("clear-verifier"),
        redirect_uri: "http://localhost:1455/auth/callback".into(),
        home: "/acme/auth".into(),
        origin: "127.0.0.1".into(),
        trusted: true,
        expires_at,
    }
}

#[tokio::test]
async fn a_rest_is_never_cut_short_and_survives_a_restart() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = active(&store, "s", "r1").await;
        let rests = async |store: &Store, now| {
            let rests = store.cooldowns(at(now)).await.unwrap();
            rests.into_iter().map(|rest| (rest.credential_id, rest.model, rest.until)).collect::<Vec<_>>()
        };
        store.cool(row.id, Some("pro"), at(100)).await.unwrap();
        store.cool(row.id, Some("pro"), at(50)).await.unwrap();
        store.cool(row.id, None, at(60)).await.unwrap();
        store.cool(row.id, None, at(70)).await.unwrap();
        let store = ground.reopen(store).await;
        let (whole, pro) = ((row.id, None, at(70)), (row.id, Some("pro".to_owned()), at(100)));
        assert_eq!(rests(&store, 10).await, [whole.clone(), pro.clone()]);
        assert_eq!(rests(&store, 70).await, std::slice::from_ref(&pro), "what ends now is over");
        assert_eq!(rests(&store, 10).await, [pro], "and forgotten");

        store.cool(row.id, None, at(80)).await.unwrap();
        store.lift(row.id, Some("pro")).await.unwrap();
        assert_eq!(rests(&store, 10).await, [(row.id, None, at(80))]);
        store.lift(row.id, None).await.unwrap();
        assert_eq!(rests(&store, 10).await, []);

        store.cool(row.id, None, at(90)).await.unwrap();
        assert!(store.remove(row.id).await.unwrap());
        assert_eq!(rests(&store, 10).await, [], "an account takes its rests along");
        store.cool(row.id, None, at(90)).await.unwrap();
        assert_eq!(rests(&store, 10).await, []);
    })
    .await;
}

#[tokio::test]
async fn a_login_survives_a_restart_and_is_taken_once() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let saved = login("one", at(100));
        store.save_login(&login("one", at(50))).await.unwrap();
        store.save_login(&saved).await.unwrap();
        let store = ground.reopen(store).await;
        assert_eq!(store.peek_login("one").await.unwrap().as_ref(), Some(&saved));
        let taken = futures_util::future::join_all((0..8).map(|_| store.take_login("one"))).await;
        let taken: Vec<_> = taken.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(taken, [saved]);
        assert_eq!(store.peek_login("one").await.unwrap(), None);
        assert_eq!(store.take_login("other").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn logins_that_were_given_up_are_forgotten() {
    everywhere(async |ground| {
        let store = ground.open().await;
        for (id, end) in [("late", 300), ("over", 100), ("open", 200)] {
            store.save_login(&login(id, at(end))).await.unwrap();
        }
        let open: Vec<_> =
            store.open_logins(at(100)).await.unwrap().into_iter().map(|row| row.id_hash).collect();
        assert_eq!(open, ["open", "late"]);
        assert!(
            store.peek_login("over").await.unwrap().is_some(),
            "an expired one can still be told from none"
        );
        assert_eq!(store.purge_logins(at(100)).await.unwrap(), 1);
        assert_eq!(store.peek_login("over").await.unwrap(), None);
        assert!(store.peek_login("open").await.unwrap().is_some());
    })
    .await;
}
