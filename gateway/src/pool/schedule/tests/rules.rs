use super::*;

fn busy() -> Choice {
    Choice::Wait { cooling_until: None, busy: true, refreshing: false }
}

fn refreshing() -> Choice {
    Choice::Wait { cooling_until: None, busy: false, refreshing: true }
}

fn cooling(until: SystemTime) -> Choice {
    Choice::Wait { cooling_until: Some(until), busy: false, refreshing: false }
}

fn session<'a>(model: &'a str, session: &'a str) -> Ask<'a> {
    Ask { model, session: Some(session), ..Ask::default() }
}

/// The account a session is given, which goes back at once.
fn serve(schedule: &mut Schedule, ask: &Ask<'_>, now: SystemTime) -> Pick {
    let Choice::Granted(pick) = schedule.choose(ask, now) else { panic!("nothing for {ask:?}") };
    schedule.release(pick.id, ask.model, Outcome::Unproven, now);
    pick
}

#[test]
fn an_empty_pool_is_told_apart_from_an_exhausted_and_a_resting_one() {
    let tried = Ask { tried: &[1], ..m() };
    let mut nobody = schedule();
    assert_eq!(nobody.choose(&m(), at(0)), Choice::Empty);
    assert_eq!(nobody.choose(&tried, at(0)), Choice::Empty);

    let mut one = pool([1]);
    assert_eq!(one.choose(&tried, at(0)), Choice::Exhausted);
    one.cool(1, None, at(9), at(0));
    assert_eq!(one.choose(&tried, at(0)), Choice::Exhausted, "its rest is of no use to who tried it");
    assert_eq!(one.choose(&m(), at(0)), cooling(at(9)));
    one.set_enabled(1, false);
    assert_eq!(one.choose(&m(), at(0)), Choice::Empty);
    assert_eq!(one.choose(&tried, at(0)), Choice::Empty);

    let mut two = pool([1, 2]);
    two.cool(2, Some("m"), at(7), at(0));
    assert_eq!(two.choose(&Ask { tried: &[1, 1, 99], ..m() }, at(0)), cooling(at(7)));
    assert_eq!(two.choose(&Ask { tried: &[1, 2, 2], ..m() }, at(0)), Choice::Exhausted);
    assert_eq!(two.choose(&Ask { tried: &[2], ..m() }, at(0)), granted(1));
}

#[test]
fn a_prospect_is_as_good_as_the_best_account() {
    let mut two = schedule();
    assert_eq!(two.prospect("m", at(0)), Prospect::Never, "nobody is there");
    two.upsert(Account { limit: Some(1), ..account(1) });
    two.upsert(account(2));
    assert_eq!(two.prospect("m", at(0)), Prospect::Now);
    two.cool(2, Some("m"), at(9), at(0));
    assert_eq!((two.prospect("m", at(0)), two.prospect("n", at(0))), (Prospect::Now, Prospect::Now));
    assert_eq!(two.choose(&m(), at(0)), granted(1));
    assert_eq!((two.prospect("m", at(1)), two.prospect("n", at(1))), (Prospect::Next, Prospect::Now));
    two.remove(1);
    assert_eq!((two.prospect("m", at(2)), two.prospect("m", at(9))), (Prospect::Later, Prospect::Now));
    two.refused(2);
    assert_eq!(two.prospect("m", at(9)), Prospect::Now, "a new token is on its way, or will be");
    two.drop_model(2, "m");
    assert_eq!((two.prospect("m", at(9)), two.prospect("n", at(9))), (Prospect::Never, Prospect::Now));
    two.set_enabled(2, false);
    assert_eq!(two.prospect("n", at(9)), Prospect::Never);
}

#[test]
fn equal_accounts_take_turns() {
    let mut schedule = pool([3, 1, 2]);
    let ids: Vec<_> = (0..7).map(|_| serve(&mut schedule, &m(), at(0)).id).collect();
    assert_eq!(ids, [1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn load_counts_in_every_model() {
    let mut schedule = pool([1, 2]);
    assert_eq!(schedule.choose(&m(), at(0)), granted(1));
    assert_eq!(schedule.choose(&Ask { model: "n", ..m() }, at(0)), granted(2));
    schedule.release(2, "n", Outcome::Unproven, at(0));
    assert_eq!(schedule.choose(&m(), at(0)), granted(2), "used later, but idle");
}

#[test]
fn quota_and_priority_go_before_load() {
    let mut schedule = pool([1, 2]);
    schedule.quota(2, Some(0.2), None);
    assert_eq!(schedule.choose(&m(), at(0)), granted(1), "its reading comes with its first answer");
    assert_eq!(schedule.choose(&m(), at(0)), granted(2));
    assert_eq!(schedule.choose(&m(), at(0)), granted(2));
    schedule.quota(2, Some(0.9), None);
    assert_eq!(schedule.choose(&m(), at(0)), granted(1));
    schedule.upsert(Account { priority: 1, ..account(2) });
    assert_eq!(schedule.choose(&m(), at(0)), granted(2));
}

#[test]
fn a_limit_makes_busy_until_something_is_released() {
    let mut schedule = schedule();
    schedule.upsert(Account { limit: Some(2), ..account(1) });
    assert_eq!(schedule.choose(&m(), at(0)), granted(1));
    assert_eq!(schedule.choose(&Ask { model: "n", ..m() }, at(0)), granted(1));
    assert_eq!(schedule.choose(&m(), at(0)), busy());
    schedule.release(1, "n", Outcome::Unproven, at(0));
    assert_eq!(schedule.choose(&m(), at(0)), granted(1));
    schedule.upsert(Account { limit: Some(0), ..account(1) });
    assert_eq!(schedule.choose(&m(), at(0)), Choice::Empty);
}

#[test]
fn releasing_what_was_not_lent_does_no_harm() {
    let mut schedule = pool([1]);
    schedule.release(1, "m", Outcome::Unproven, at(0));
    schedule.release(77, "never seen", Outcome::Served { began: at(0) }, at(0));
    assert_eq!(schedule.in_flight(1), 0);
    assert_eq!(schedule.choose(&m(), at(0)), granted(1));
    schedule.remove(1);
    schedule.release(1, "m", Outcome::Unproven, at(0));
    assert_eq!(schedule.choose(&m(), at(0)), Choice::Empty);
}

#[test]
fn a_models_cooldown_leaves_the_other_models_alone() {
    let mut schedule = pool([1]);
    assert!(schedule.cool(1, Some("m"), at(100), at(0)));
    assert_eq!(schedule.choose(&m(), at(99)), cooling(at(100)));
    assert_eq!(schedule.choose(&Ask { model: "n", ..m() }, at(99)), granted(1));
    assert_eq!(schedule.choose(&m(), at(100)), granted(1));
}

#[test]
fn models_of_a_group_rest_together_and_leave_the_other_groups_alone() {
    let group = |models: &[&str]| models.iter().map(|model| (*model).to_owned()).collect::<Vec<_>>();
    let mut schedule = grouped(&[group(&["big"]), group(&["tiny", "m", "n"])]);
    schedule.upsert(account(1));
    let ask = |model| Ask { model, ..Ask::default() };
    assert!(schedule.cool(1, Some("n"), at(100), at(0)));
    for model in ["tiny", "m", "n"] {
        assert_eq!(schedule.choose(&ask(model), at(1)), cooling(at(100)), "{model}");
        assert_eq!(schedule.explain(&ask(model), at(1)), [(1, Standing::Cooling(at(100)))], "{model}");
    }
    for model in ["big", "alone"] {
        assert_eq!(serve(&mut schedule, &ask(model), at(1)).id, 1, "{model}");
    }
    assert!(!schedule.cool(1, Some("m"), at(50), at(1)), "the longer rest of the group stays");
    schedule.release(1, "m", Outcome::Served { began: at(2) }, at(3));
    assert_eq!(
        schedule.choose(&ask("n"), at(3)),
        granted(1),
        "what serves one model is evidence for its group"
    );
}

#[test]
fn a_model_that_an_account_lacks_is_no_matter_of_its_group() {
    let mut schedule = grouped(&[vec!["m".to_owned(), "n".to_owned()]]);
    schedule.upsert(account(1));
    schedule.drop_model(1, "m");
    assert_eq!(schedule.choose(&m(), at(0)), Choice::Empty);
    assert_eq!(schedule.choose(&Ask { model: "n", ..m() }, at(0)), granted(1));
}

#[test]
fn a_shorter_cooldown_never_replaces_a_longer_one() {
    let mut schedule = pool([1]);
    assert!(schedule.cool(1, None, at(100), at(0)));
    assert!(!schedule.cool(1, None, at(50), at(0)));
    assert!(!schedule.cool(1, None, at(100), at(0)));
    assert!(schedule.cool(1, Some("m"), at(50), at(0)), "scopes are apart");
    assert_eq!(schedule.choose(&m(), at(60)), cooling(at(100)));
    assert!(schedule.cool(1, None, at(200), at(60)));
    assert_eq!(schedule.choose(&m(), at(199)), cooling(at(200)));
    assert!(!schedule.cool(1, None, at(199), at(199)), "over already");
    assert!(!schedule.cool(9, None, at(300), at(199)), "nobody's");
}

#[test]
fn cooldowns_survive_a_refresh_and_adding_the_account_again() {
    let mut schedule = pool([1]);
    schedule.cool(1, Some("m"), at(100), at(0));
    schedule.refreshing(1);
    schedule.refreshed(1, Some(at(500)));
    schedule.upsert(Account { expires_at: Some(at(900)), ..account(1) });
    assert_eq!(schedule.choose(&m(), at(0)), cooling(at(100)));
}

#[test]
fn success_lifts_only_cooldowns_older_than_its_request() {
    let cooled = || {
        let mut schedule = pool([1]);
        schedule.cool(1, None, at(100), at(10));
        schedule.cool(1, Some("m"), at(100), at(10));
        schedule.cool(1, Some("n"), at(100), at(10));
        schedule
    };
    for (began, left) in [(9, 3), (10, 3), (11, 1)] {
        let mut schedule = cooled();
        schedule.release(1, "m", Outcome::Served { began: at(began) }, at(20));
        assert_eq!(schedule.cooldowns().count(), left, "began at {began}");
    }
    let mut schedule = cooled();
    schedule.release(1, "m", Outcome::Unproven, at(20));
    assert_eq!(schedule.cooldowns().count(), 3);
    assert!(schedule.lift(1, None));
    assert!(!schedule.lift(1, None));
    assert!(schedule.lift(1, Some("m")));
    let left: Vec<_> = schedule.cooldowns().collect();
    assert_eq!(left, [super::super::upkeep::Cooldown { id: 1, model: Some("n"), until: at(100) }]);
    assert_eq!(schedule.choose(&m(), at(20)), granted(1));
}

#[test]
fn the_next_event_is_the_soonest_end_ahead() {
    let mut schedule = pool([1, 2, 3]);
    assert_eq!(schedule.next_event(at(0)), None);
    schedule.cool(1, None, at(30), at(0));
    schedule.cool(2, Some("m"), at(20), at(0));
    schedule.refresh_failed(3, at(10));
    let ends: Vec<_> = [0, 10, 20, 30].map(|now| schedule.next_event(at(now))).to_vec();
    assert_eq!(ends, [Some(at(10)), Some(at(20)), Some(at(30)), None]);
    schedule.cool(1, None, at(90), at(40));
    schedule.remove(1);
    assert_eq!(schedule.next_event(at(40)), None, "nobody waits for who is gone");
}

#[test]
fn a_dropped_model_is_gone_for_this_account_only() {
    let mut schedule = pool([1, 2]);
    schedule.drop_model(1, "m");
    assert_eq!(schedule.choose(&m(), at(0)), granted(2));
    assert_eq!(schedule.choose(&Ask { tried: &[2], ..m() }, at(0)), Choice::Exhausted);
    assert_eq!(schedule.choose(&Ask { model: "n", ..m() }, at(0)), granted(1));
    schedule.drop_model(2, "m");
    assert_eq!(schedule.choose(&m(), at(0)), Choice::Empty);
    schedule.restore_models(1);
    assert_eq!(schedule.choose(&m(), at(0)), granted(1));
}

#[test]
fn an_expired_token_is_waited_for_and_fetched_once() {
    let mut schedule = schedule();
    schedule.upsert(Account { expires_at: Some(at(100)), ..account(1) });
    assert_eq!(schedule.choose(&m(), at(99)), granted(1));
    assert_eq!(schedule.choose(&m(), at(100)), refreshing());
    assert_eq!(schedule.choose(&m(), at(101)), refreshing());
    assert_eq!(schedule.take_wanted(), [1]);
    assert_eq!(schedule.choose(&m(), at(102)), refreshing());
    assert!(schedule.take_wanted().is_empty());
    assert!(schedule.due(at(102), Duration::from_mins(5)).is_empty(), "one refresh is enough");
    schedule.refreshed(1, Some(at(4000)));
    assert_eq!(schedule.choose(&m(), at(103)), granted(1));
}

#[test]
fn only_a_few_refreshes_are_wanted_at_once_and_the_best_first() {
    let mut schedule = schedule();
    for id in 1..=9 {
        schedule.upsert(Account {
            expires_at: Some(at(5)),
            priority: i32::try_from(id).unwrap(),
            ..account(id)
        });
    }
    for _ in 0..20 {
        assert_eq!(schedule.choose(&m(), at(10)), refreshing());
    }
    assert_eq!(schedule.take_wanted(), [9, 8, 7, 6]);
}

#[test]
fn a_refresh_ahead_of_time_leaves_the_token_in_use() {
    let mut schedule = schedule();
    for (id, end) in [(1, 400), (2, 200), (3, 9000)] {
        schedule.upsert(Account { expires_at: Some(at(end)), ..account(id) });
    }
    schedule.upsert(account(4));
    schedule.upsert(Account { enabled: false, expires_at: Some(at(100)), ..account(5) });
    assert_eq!(schedule.due(at(150), Duration::from_mins(5)), [2, 1]);
    schedule.refreshing(2);
    assert_eq!(schedule.due(at(150), Duration::from_mins(5)), [1]);
    assert_eq!(schedule.explain(&m(), at(199))[1], (2, Standing::Ready));
    assert_eq!(schedule.explain(&m(), at(200))[1], (2, Standing::Refreshing));
}

#[test]
fn a_refused_token_is_not_used_again() {
    let mut schedule = schedule();
    schedule.upsert(Account { expires_at: Some(at(9000)), ..account(1) });
    assert_eq!(schedule.choose(&m(), at(0)), granted(1));
    schedule.refused(1);
    schedule.refused(1);
    assert_eq!(schedule.choose(&m(), at(0)), refreshing());
    assert_eq!(schedule.take_wanted(), [1]);
    schedule.refresh_failed(1, at(30));
    assert_eq!(schedule.choose(&m(), at(0)), cooling(at(30)), "nothing to do before the retry");
    assert!(schedule.due(at(29), Duration::from_mins(5)).is_empty());
    assert_eq!(schedule.due(at(30), Duration::from_mins(5)), [1]);
    assert_eq!(schedule.choose(&m(), at(30)), refreshing());
    schedule.refreshed(1, None);
    assert_eq!(schedule.choose(&m(), at(30)), granted(1));
    assert!(schedule.take_wanted().is_empty(), "it came before anybody asked");
}

#[test]
fn a_new_login_ends_the_trouble_with_the_old_token() {
    let mut schedule = schedule();
    schedule.upsert(Account { expires_at: Some(at(9000)), ..account(1) });
    schedule.refused(1);
    schedule.upsert(Account { expires_at: Some(at(9001)), ..account(1) });
    assert_eq!(schedule.choose(&m(), at(0)), granted(1));
    assert!(schedule.take_wanted().is_empty());
}

#[test]
fn a_failed_refresh_ahead_of_time_leaves_the_token_in_use() {
    let mut schedule = schedule();
    schedule.upsert(Account { expires_at: Some(at(100)), ..account(1) });
    schedule.refreshing(1);
    schedule.refresh_failed(1, at(60));
    assert_eq!(schedule.choose(&m(), at(10)), granted(1));
    assert!(schedule.due(at(59), Duration::from_mins(5)).is_empty());
    assert_eq!(schedule.due(at(60), Duration::from_mins(5)), [1]);
}

#[test]
fn a_session_keeps_its_account() {
    let mut schedule = pool(1..=8);
    let home = serve(&mut schedule, &session("m", "s"), at(0));
    assert!(!home.moved);
    for second in 1..50 {
        serve(&mut schedule, &m(), at(second));
        assert_eq!(serve(&mut schedule, &session("m", "s"), at(second)), home);
    }
}

#[test]
fn replicas_agree_on_a_new_sessions_account() {
    let (mut one, mut two) = (pool(1..=8), pool((1..=8).rev()));
    for id in 0..13 {
        serve(&mut two, &m(), at(id));
        serve(&mut one, &m(), at(id));
    }
    for id in 0..5 {
        serve(&mut two, &m(), at(id));
    }
    let mut ids = BTreeSet::new();
    for name in (0..100).map(|name| name.to_string()) {
        let pick = serve(&mut one, &session("m", &name), at(9));
        assert_eq!(serve(&mut two, &session("m", &name), at(9)), pick);
        ids.insert(pick.id);
    }
    assert_eq!(ids.len(), 8);
}

#[test]
fn a_new_session_does_not_go_to_a_lesser_band() {
    let mut schedule = pool(1..=9);
    for id in 0..9 {
        serve(&mut schedule, &m(), at(id));
    }
    schedule.quota(4, Some(0.1), None);
    schedule.quota(5, Some(0.15), None);
    for name in (0..50).map(|name| name.to_string()) {
        assert!([4, 5].contains(&serve(&mut schedule, &session("m", &name), at(0)).id));
    }
}

#[test]
fn a_new_session_goes_to_one_of_the_eight_least_loaded() {
    let mut schedule = pool(1..=9);
    schedule.choose(&Ask { tried: &[1, 2, 3, 4, 6, 7, 8, 9], ..m() }, at(0));
    let ids: BTreeSet<_> =
        (0..200).map(|name| serve(&mut schedule, &session("m", &name.to_string()), at(0)).id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 6, 7, 8, 9].into());
}

#[test]
fn a_session_moves_for_good_when_its_account_rests() {
    let mut schedule = pool([1, 2]);
    let home = serve(&mut schedule, &session("m", "s"), at(0)).id;
    let other = 3 - home;
    schedule.cool(home, None, at(10), at(0));
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(1)), Pick { id: other, moved: true });
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(20)), Pick { id: other, moved: false });
    schedule.remove(other);
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(21)), Pick { id: home, moved: true });
}

#[test]
fn a_session_moves_one_model_when_only_that_rests() {
    let mut schedule = pool([1, 2]);
    let home = serve(&mut schedule, &session("m", "s"), at(0)).id;
    let other = 3 - home;
    schedule.cool(home, Some("m"), at(10), at(0));
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(1)), Pick { id: other, moved: true });
    assert_eq!(serve(&mut schedule, &session("n", "s"), at(1)), Pick { id: home, moved: true });
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(20)), Pick { id: other, moved: true });
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(20)), Pick { id: other, moved: false });
    schedule.set_enabled(other, false);
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(21)), Pick { id: home, moved: true });
    schedule.set_enabled(other, true);
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(22)).id, home, "home again for all models");
}

#[test]
fn a_session_comes_back_to_an_account_that_was_only_busy_or_refreshing() {
    let mut schedule = pool([1, 2]);
    let home = serve(&mut schedule, &session("m", "s"), at(0)).id;
    let other = 3 - home;
    schedule.upsert(Account { limit: Some(1), ..account(home) });
    assert_eq!(schedule.choose(&session("m", "s"), at(0)), granted(home));
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(0)), Pick { id: other, moved: true });
    schedule.release(home, "m", Outcome::Unproven, at(0));
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(0)), Pick { id: home, moved: true });

    schedule.upsert(Account { expires_at: Some(at(5)), ..account(home) });
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(5)), Pick { id: other, moved: true });
    assert_eq!(schedule.take_wanted(), [home], "its token is fetched for the next request");
    schedule.refreshed(home, None);
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(6)), Pick { id: home, moved: true });
}

#[test]
fn a_session_settles_where_a_failed_request_went() {
    let mut schedule = pool([1, 2]);
    let home = serve(&mut schedule, &session("m", "s"), at(0)).id;
    let again = Ask { tried: &[home], ..session("m", "s") };
    assert_eq!(serve(&mut schedule, &again, at(0)), Pick { id: 3 - home, moved: true });
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(0)), Pick { id: 3 - home, moved: false });
}

#[test]
fn an_idle_session_is_forgotten() {
    let mut schedule = pool([1, 2]);
    let home = serve(&mut schedule, &session("m", "s"), at(0)).id;
    serve(&mut schedule, &session("m", "s"), at(3599));
    schedule.set_enabled(home, false);
    assert_eq!(
        serve(&mut schedule, &session("m", "s"), at(3599 + 3600)),
        Pick { id: 3 - home, moved: false }
    );
}

#[test]
fn who_continues_an_answer_goes_to_its_account() {
    let mut schedule = pool([1, 2, 3]);
    let home = serve(&mut schedule, &session("m", "s"), at(0)).id;
    let maker = home % 3 + 1;
    schedule.bind("answer", maker, at(0));
    let follows = Ask { follows: Some("answer"), ..session("m", "s") };
    assert_eq!(serve(&mut schedule, &follows, at(1)), Pick { id: maker, moved: false });
    assert_eq!(serve(&mut schedule, &session("m", "s"), at(2)), Pick { id: maker, moved: false });
    assert_eq!(serve(&mut schedule, &Ask { session: None, ..follows }, at(2)).id, maker);
    schedule.cool(maker, None, at(99), at(2));
    assert!(serve(&mut schedule, &follows, at(3)).moved);
    let unknown = Ask { follows: Some("unheard of"), ..m() };
    assert!(!serve(&mut schedule, &unknown, at(3)).moved);
}

#[test]
fn a_newcomer_takes_only_what_those_who_wait_leave() {
    let mut schedule = pool([1, 2]);
    let first = schedule.enqueue("m").unwrap();
    assert_eq!(schedule.choose(&m(), at(0)), granted(1), "two are ready, one waits");
    let second = schedule.enqueue("m").unwrap();
    assert_eq!(schedule.choose(&m(), at(0)), busy());
    assert_eq!(serve(&mut schedule, &Ask { model: "n", ..m() }, at(0)).id, 2, "another model, another queue");
    assert_eq!(schedule.callable(at(0)), [first, second]);
    assert!(matches!(schedule.choose_waiting(second, &m(), at(0)), Choice::Granted(_)));
    schedule.forget(first);
    schedule.forget(first);
    assert!(schedule.callable(at(0)).is_empty());
    assert!(matches!(schedule.choose(&m(), at(0)), Choice::Granted(_)));
}

#[test]
fn who_cannot_take_what_is_ready_lets_others_pass_until_something_else_is() {
    let mut schedule = pool([1, 2]);
    schedule.cool(2, None, at(50), at(0));
    let picky = schedule.enqueue("m").unwrap();
    let ask = Ask { tried: &[1], ..m() };
    assert_eq!(schedule.choose(&m(), at(0)), busy());
    assert_eq!(schedule.choose_waiting(picky, &ask, at(0)), cooling(at(50)));
    assert_eq!(schedule.choose(&m(), at(0)), granted(1));
    assert!(schedule.callable(at(0)).is_empty());
    assert_eq!(schedule.callable(at(50)), [picky]);
    schedule.set_enabled(1, false);
    assert_eq!(schedule.choose(&m(), at(50)), busy(), "what came free is kept for who waited");
    assert_eq!(schedule.choose_waiting(picky, &ask, at(50)), granted(2));
}

#[test]
fn a_ticket_that_was_served_gives_no_advantage() {
    let mut schedule = pool([1]);
    let (used, waiting) = (schedule.enqueue("m").unwrap(), schedule.enqueue("m").unwrap());
    assert_eq!(schedule.choose_waiting(used, &m(), at(0)), granted(1));
    assert_eq!(schedule.choose_waiting(used, &m(), at(0)), busy());
    let other = Ask { model: "n", ..m() };
    assert_eq!(schedule.choose_waiting(waiting, &other, at(0)), granted(1), "it counts for its model only");
}

#[test]
fn the_queue_has_an_end() {
    let mut schedule = pool([1]);
    let tickets: Vec<_> = (0..WAITING).map_while(|_| schedule.enqueue("m")).collect();
    assert_eq!(tickets.len(), WAITING);
    assert_eq!(schedule.enqueue("n"), None);
    schedule.forget(tickets[7]);
    assert!(schedule.enqueue("n").is_some());
}

#[test]
fn models_nobody_configured_do_not_fill_the_memory() {
    let mut schedule = pool([1]);
    for model in 0..MODELS {
        assert_eq!(serve(&mut schedule, &Ask { model: &model.to_string(), ..m() }, at(0)).id, 1);
    }
    assert_eq!(schedule.choose(&m(), at(0)), Choice::Empty);
    assert!(!schedule.cool(1, Some("m"), at(9), at(0)));
    assert_eq!(schedule.enqueue("m"), None);
    assert_eq!(schedule.lanes.len(), MODELS);
}

#[test]
fn explains_each_account_in_order_of_choice() {
    let mut schedule = schedule();
    for (id, priority) in (1..=8).zip((1..=8).rev()) {
        schedule.upsert(Account { priority, limit: Some(1), expires_at: Some(at(90)), ..account(id) });
    }
    schedule.choose(&m(), at(0));
    schedule.cool(2, Some("m"), at(50), at(0));
    schedule.set_enabled(3, false);
    schedule.drop_model(4, "m");
    schedule.refused(5);
    schedule.upsert(Account { expires_at: Some(at(10)), ..account(6) });
    let told = schedule.explain(&Ask { tried: &[7, 3], ..m() }, at(20));
    let expected = [
        (1, Standing::Busy),
        (2, Standing::Cooling(at(50))),
        (3, Standing::Disabled),
        (4, Standing::Unserved),
        (5, Standing::Refreshing),
        (7, Standing::Tried),
        (8, Standing::Ready),
        (6, Standing::Expired),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_removed_account_leaves_nothing_behind() {
    let mut schedule = schedule();
    schedule.upsert(Account { expires_at: Some(at(90)), ..account(1) });
    schedule.choose(&m(), at(0));
    schedule.cool(1, None, at(50), at(0));
    schedule.cool(1, Some("m"), at(60), at(0));
    schedule.refused(1);
    schedule.refresh_failed(1, at(70));
    schedule.remove(1);
    assert!(schedule.frees.is_empty() && schedule.expiries.is_empty() && schedule.take_wanted().is_empty());
    schedule.upsert(account(2));
    assert_eq!((schedule.entries.len(), schedule.choose(&m(), at(0))), (1, granted(2)));
}

#[test]
fn a_clock_set_back_makes_tokens_good_again() {
    let mut schedule = schedule();
    schedule.upsert(Account { expires_at: Some(at(4000)), ..account(1) });
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(i64::MAX.cast_unsigned());
    assert_eq!(schedule.choose(&m(), far), refreshing());
    assert_eq!(schedule.take_wanted(), [1]);
    schedule.refreshed(1, Some(at(4000)));
    assert_eq!(schedule.choose(&m(), far), refreshing());
    assert_eq!(schedule.choose(&m(), at(3000)), granted(1));
    assert_eq!(schedule.choose(&m(), at(2999)), granted(1), "a little back is the caller's delay");
    assert_eq!(schedule.choose(&m(), at(4000)), refreshing());
}

#[test]
fn a_heavier_account_gets_more_turns_and_counts_as_less_busy() {
    let mut schedule = schedule();
    schedule.upsert(Account { weight: 2, ..account(1) });
    schedule.upsert(account(2));
    let one_by_one: Vec<_> = (0..6).map(|_| serve(&mut schedule, &m(), at(0)).id).collect();
    assert_eq!(one_by_one.iter().filter(|id| **id == 1).count(), 4, "{one_by_one:?}");
    let mut at_once = vec![];
    for _ in 0..6 {
        let Choice::Granted(pick) = schedule.choose(&m(), at(0)) else { panic!("no limit is set") };
        at_once.push(pick.id);
    }
    assert_eq!(at_once.iter().filter(|id| **id == 1).count(), 4, "{at_once:?}");
}

#[test]
fn who_comes_back_from_a_rest_or_comes_new_is_not_made_up_for() {
    let mut schedule = Schedule::new(Strategy::RoundRobin, Duration::from_hours(1), Groups::default());
    schedule.upsert(account(1));
    schedule.upsert(account(2));
    schedule.cool(2, None, at(100), at(0));
    (0..50).for_each(|_| assert_eq!(serve(&mut schedule, &m(), at(1)).id, 1));
    schedule.upsert(account(3));
    let turns: Vec<_> = (0..9).map(|_| serve(&mut schedule, &m(), at(101)).id).collect();
    for id in 1..=3 {
        assert_eq!(turns.iter().filter(|turn| **turn == id).count(), 3, "{turns:?}");
    }
}
