use super::{super::naive::Naive, Schedule, *};
use proptest::{prelude::*, strategy::Strategy};
use std::collections::BTreeSet;

const MODELS: [&str; 3] = ["a", "b", ""];
const NAMES: [&str; 3] = ["x", "y", "z"];
const TTL: Duration = Duration::from_secs(40);

#[derive(Debug, Clone)]
enum Step {
    Choose {
        model: usize,
        session: Option<usize>,
        follows: Option<usize>,
        tried: Vec<AccountId>,
        ticket: Option<usize>,
    },
    Release(AccountId, usize, Option<SystemTime>),
    Bind(usize, AccountId),
    Upsert(Account),
    Remove(AccountId),
    Enable(AccountId, bool),
    Quota(AccountId, Option<f64>),
    Cool(AccountId, Option<usize>, SystemTime),
    Lift(AccountId, Option<usize>),
    Drop(AccountId, usize),
    Restore(AccountId),
    Due(Duration),
    Take,
    Refreshing(AccountId),
    Refused(AccountId),
    Refreshed(AccountId, Option<SystemTime>),
    Failed(AccountId, SystemTime),
    Enqueue(usize),
    Forget(usize),
}

fn id() -> impl Strategy<Value = AccountId> {
    prop_oneof![30 => 1i64..=10, 1 => Just(AccountId::MIN), 1 => Just(AccountId::MAX)]
}

fn time() -> impl Strategy<Value = SystemTime> {
    prop_oneof![
        40 => (0u64..300).prop_map(at),
        1 => Just(at(0)),
        1 => Just(at(0) - Duration::from_secs(9)),
        1 => Just(at(253_402_300_799)),
        1 => Just(SystemTime::UNIX_EPOCH + Duration::from_secs(i64::MAX.cast_unsigned())),
    ]
}

fn share() -> impl Strategy<Value = f64> {
    prop_oneof![9 => 0.0..=1.0, 1 => Just(f64::NAN), 1 => Just(f64::NEG_INFINITY), 1 => Just(7.0)]
}

fn step() -> impl Strategy<Value = Step> {
    let maybe = |range: std::ops::Range<usize>| prop::option::of(range);
    let tried = prop_oneof![2 => Just(vec![]), 1 => prop::collection::vec(id(), 0..5)];
    prop_oneof![
        12 => (0usize..3, maybe(0..3), maybe(0..3), tried, maybe(0..4)).prop_map(
            |(model, session, follows, tried, ticket)| Step::Choose { model, session, follows, tried, ticket }
        ),
        6 => (id(), 0usize..3, prop::option::of(time())).prop_map(|(id, m, began)| Step::Release(id, m, began)),
        2 => (0usize..3, id()).prop_map(|(name, id)| Step::Bind(name, id)),
        6 => (id(), -1i32..=1, 1u32..4, prop::option::of(0u32..4), prop::option::of(time()), prop::bool::weighted(0.9))
            .prop_map(|(id, priority, weight, limit, expires_at, enabled)| {
                Step::Upsert(Account { id, priority, weight, limit, expires_at, enabled })
            }),
        1 => id().prop_map(Step::Remove),
        2 => (id(), any::<bool>()).prop_map(|(id, on)| Step::Enable(id, on)),
        2 => (id(), prop::option::of(share())).prop_map(|(id, used)| Step::Quota(id, used)),
        3 => (id(), maybe(0..3), time()).prop_map(|(id, model, until)| Step::Cool(id, model, until)),
        1 => (id(), maybe(0..3)).prop_map(|(id, model)| Step::Lift(id, model)),
        1 => (id(), 0usize..3).prop_map(|(id, model)| Step::Drop(id, model)),
        1 => id().prop_map(Step::Restore),
        1 => prop_oneof![Just(Duration::from_secs(9)), Just(Duration::MAX)].prop_map(Step::Due),
        1 => Just(Step::Take),
        1 => id().prop_map(Step::Refreshing),
        1 => id().prop_map(Step::Refused),
        3 => (id(), prop::option::of(time())).prop_map(|(id, end)| Step::Refreshed(id, end)),
        1 => (id(), time()).prop_map(|(id, retry_at)| Step::Failed(id, retry_at)),
        1 => (0usize..3).prop_map(Step::Enqueue),
        1 => (0usize..4).prop_map(Step::Forget),
    ]
}

/// No groups, two models that rest together and one that does not, or a group led by a model nobody asks for.
fn groups() -> impl Strategy<Value = Vec<Vec<String>>> {
    let names = |group: &[&str]| group.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    prop_oneof![
        2 => Just(Vec::new()),
        1 => Just(vec![names(&["a", "b"])]),
        1 => Just(vec![names(&["unseen", "b", "a"]), names(&[""])]),
    ]
}

/// Seconds forward, or once in a while any time at all.
fn clock() -> impl Strategy<Value = (u64, Option<SystemTime>)> {
    (0u64..4, prop::option::weighted(0.02, time()))
}

/// Whom a choice may grant at all, whatever the rules of order are.
fn grantable(schedule: &Schedule, ask: &Ask<'_>) -> BTreeSet<AccountId> {
    let now = schedule.clock;
    let rests = |id| {
        let mut own = schedule.cooldowns().filter(move |one| one.id == id && one.until > now);
        own.any(|one| one.model.is_none_or(|model| model == schedule.groups().lead(ask.model)))
    };
    let fit = schedule.entries.iter().flatten().filter(|entry| {
        let account = &entry.account;
        account.enabled
            && account.expires_at.is_none_or(|end| end > now)
            && account.limit.is_none_or(|limit| entry.in_flight < limit)
            && !ask.tried.contains(&account.id)
            && !rests(account.id)
    });
    fit.map(|entry| entry.account.id).collect()
}

struct Pair {
    real: Schedule,
    naive: Naive,
    tickets: Vec<Ticket>,
    now: SystemTime,
}

impl Pair {
    #[expect(clippy::too_many_lines, reason = "one short arm for each operation")]
    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let Self { real, naive, tickets, now } = self;
        let now = *now;
        match step {
            Step::Choose { model, session, follows, tried, ticket } => {
                let ask = Ask {
                    model: MODELS[model],
                    session: session.map(|at| NAMES[at]),
                    follows: follows.map(|at| NAMES[at]),
                    tried: &tried,
                };
                let ticket = ticket.and_then(|at| tickets.get(at)).copied();
                // Those who wait have tried nothing here: when others may pass them is a rule of its own.
                let ask = if ticket.is_some() { Ask { tried: &[], ..ask } } else { ask };
                real.advance(now);
                let own = naive.queue.iter().any(|(number, name)| {
                    ticket.is_some_and(|ticket| ticket.number == *number) && name == ask.model
                });
                let number = ticket.map(|ticket| ticket.number).filter(|_| own);
                let expected = naive.choose(number, &ask, now);
                let grantable = grantable(real, &ask);
                if ticket.is_none_or(|_| !own) {
                    let told = real.preview(&ask, now);
                    let granted = match expected {
                        Choice::Granted(pick) => Some(pick.id),
                        _ => None,
                    };
                    prop_assert_eq!(told, granted, "the explanation is not the choice");
                }
                let choice = match ticket.filter(|_| own) {
                    Some(ticket) => real.choose_waiting(ticket, &ask, now),
                    None => real.choose(&ask, now),
                };
                prop_assert_eq!(choice, expected, "{:?}", ask);
                if let Choice::Granted(pick) = choice {
                    prop_assert!(grantable.contains(&pick.id));
                }
            }
            Step::Release(id, model, began) => {
                let outcome = began.map_or(Outcome::Unproven, |began| Outcome::Served { began });
                real.release(id, MODELS[model], outcome, now);
                naive.release(id, MODELS[model], outcome, now);
            }
            Step::Bind(name, id) => {
                real.bind(NAMES[name], id, now);
                naive.bind(NAMES[name], id, now);
            }
            Step::Upsert(account) => {
                real.upsert(account.clone());
                naive.upsert(account);
            }
            Step::Remove(id) => {
                real.remove(id);
                naive.remove(id);
            }
            Step::Enable(id, on) => {
                real.set_enabled(id, on);
                naive.set_enabled(id, on);
            }
            Step::Quota(id, used) => {
                real.quota(id, used, None);
                naive.quota(id, used);
            }
            Step::Cool(id, model, until) => {
                let model = model.map(|at| MODELS[at]);
                let deadline = |real: &Schedule| {
                    let scope = model.map(|model| real.groups().lead(model));
                    real.cooldowns().find(|one| (one.id, one.model) == (id, scope)).map(|one| one.until)
                };
                real.advance(now);
                let before = deadline(real);
                let longer = real.cool(id, model, until, now);
                prop_assert!(deadline(real) >= before, "a longer cooldown was shortened");
                prop_assert_eq!(longer, deadline(real) > before);
                prop_assert_eq!(longer, naive.cool(id, model, until, now));
            }
            Step::Lift(id, model) => {
                let model = model.map(|at| MODELS[at]);
                prop_assert_eq!(real.lift(id, model), naive.lift(id, model));
            }
            Step::Drop(id, model) => {
                real.drop_model(id, MODELS[model]);
                naive.drop_model(id, MODELS[model]);
            }
            Step::Restore(id) => {
                real.restore_models(id);
                naive.restore_models(id);
            }
            Step::Due(margin) => {
                let due = real.due(now, margin);
                let ids: BTreeSet<_> = due.iter().copied().collect();
                prop_assert_eq!(due.len(), ids.len());
                prop_assert_eq!(ids, naive.due(now, margin));
            }
            Step::Take => {
                let taken = real.take_wanted();
                let ids: BTreeSet<_> = taken.iter().copied().collect();
                prop_assert_eq!(taken.len(), ids.len());
                prop_assert_eq!(ids, naive.take_wanted());
            }
            Step::Refreshing(id) => {
                real.refreshing(id);
                naive.refreshing(id);
            }
            Step::Refused(id) => {
                real.refused(id);
                naive.refused(id);
            }
            Step::Refreshed(id, end) => {
                real.refreshed(id, end);
                naive.refreshed(id, end);
            }
            Step::Failed(id, retry_at) => {
                real.refresh_failed(id, retry_at);
                naive.refresh_failed(id, retry_at);
            }
            Step::Enqueue(model) => {
                if tickets.len() < 6
                    && let Some(ticket) = real.enqueue(MODELS[model])
                {
                    tickets.push(ticket);
                    naive.queue.push((ticket.number, MODELS[model].to_owned()));
                }
            }
            Step::Forget(at) => {
                if at < tickets.len() {
                    let ticket = tickets.remove(at);
                    real.forget(ticket);
                    naive.queue.retain(|(number, _)| *number != ticket.number);
                }
            }
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        self.naive.advance(self.now);
        self.real.advance(self.now);
        prop_assert_eq!(self.real.waiting, self.naive.queue.len());
        let told = self.real.cooldowns().map(|one| (one.id, one.model.map(str::to_owned), one.until));
        prop_assert_eq!(told.collect::<BTreeSet<_>>(), self.naive.cooldowns());
        for id in 1..=10 {
            prop_assert_eq!(self.real.in_flight(id), self.naive.in_flight(id));
        }
        let next = self.real.next_event(self.now);
        prop_assert_eq!(next, self.naive.next_event(self.now));
        prop_assert!(next.is_none_or(|next| next > self.real.clock));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chooses_as_the_naive_scheduler_does(
        steps in prop::collection::vec((clock(), step()), 1..200),
        groups in groups(),
    ) {
        let members = groups.iter().map(Vec::as_slice);
        let real = Schedule::new(super::Strategy::Balanced, TTL, Groups::new(members));
        let mut pair = Pair { real, naive: Naive::new(TTL, groups), tickets: Vec::new(), now: at(0) };
        for ((seconds, jump), step) in steps {
            let later = pair.now.checked_add(Duration::from_secs(seconds));
            pair.now = jump.or(later).unwrap_or(at(0));
            if jump.is_none() && pair.now > at(1000) {
                pair.now = at(0);
            }
            pair.step(step)?;
            pair.check()?;
        }
    }

    #[test]
    fn whoever_waits_is_served_in_order_of_arrival(
        limits in prop::collection::vec(1u32..3, 1..4),
        waiting in 1usize..12,
        newcomers in prop::collection::vec(any::<prop::sample::Index>(), 1..60),
    ) {
        let mut schedule = schedule();
        for (id, limit) in (1..).zip(&limits) {
            schedule.upsert(Account { limit: Some(*limit), ..account(id) });
        }
        let mut leases = Vec::new();
        while let Choice::Granted(pick) = schedule.choose(&m(), at(0)) {
            leases.push(pick.id);
        }
        let tickets: Vec<_> = (0..waiting).map(|_| schedule.enqueue("m").unwrap()).collect();
        let mut served = Vec::new();
        for newcomer in newcomers {
            let lease = leases.swap_remove(newcomer.index(leases.len()));
            schedule.release(lease, "m", Outcome::Unproven, at(0));
            if served.len() < waiting {
                prop_assert!(!matches!(schedule.choose(&m(), at(0)), Choice::Granted(_)), "overtaken");
            }
            let called = schedule.callable(at(0));
            prop_assert_eq!(called.is_empty(), served.len() == waiting);
            match called.first() {
                Some(ticket) => {
                    let Choice::Granted(pick) = schedule.choose_waiting(*ticket, &m(), at(0)) else {
                        panic!("the first called is served")
                    };
                    served.push(*ticket);
                    leases.push(pick.id);
                }
                None => match schedule.choose(&m(), at(0)) {
                    Choice::Granted(pick) => leases.push(pick.id),
                    other => panic!("nobody waits, but {other:?}"),
                },
            }
        }
        prop_assert!(tickets.starts_with(&served));
    }

    #[test]
    fn nobody_who_could_serve_is_left_out_for_ever(
        weights in prop::collection::vec(1u32..=100, 2..12),
        strategy in prop_oneof![Just(super::Strategy::Balanced), Just(super::Strategy::RoundRobin)],
        held in 0usize..6,
    ) {
        let mut schedule = Schedule::new(strategy, TTL, Groups::default());
        for (id, weight) in (1..).zip(&weights) {
            schedule.upsert(Account { weight: *weight, ..account(id) });
            schedule.quota(id, Some(0.5), None);
        }
        // As many turns as the weights need for one round, each of them with some requests still in flight.
        let total = usize::try_from(weights.iter().sum::<u32>()).unwrap();
        let (mut turns, mut leases) = (vec![0u32; weights.len()], std::collections::VecDeque::new());
        for _ in 0..3 * total {
            let Choice::Granted(pick) = schedule.choose(&m(), at(0)) else { panic!("all are ready") };
            turns[usize::try_from(pick.id - 1).unwrap()] += 1;
            leases.push_back(pick.id);
            while leases.len() > held {
                let id = leases.pop_front().unwrap();
                schedule.release(id, "m", Outcome::Served { began: at(0) }, at(0));
            }
        }
        for (count, weight) in turns.iter().zip(&weights) {
            prop_assert!(*count > 0, "starved: {turns:?} for {weights:?}");
            if held == 0 {
                prop_assert!(count.abs_diff(3 * weight) <= 2, "unfair: {turns:?} for {weights:?}");
            }
        }
    }
}

/// Matches that one choice and its release cost, on average, in a pool of this size where a part rests.
fn cost(size: AccountId) -> f64 {
    let mut schedule = pool(1..=size);
    for id in (1..=size).filter(|id| id % 3 == 0) {
        schedule.cool(id, None, at(5000), at(0));
    }
    // The lane of a model is built when it is first asked for.
    let rounds = 200;
    let Choice::Granted(first) = schedule.choose(&m(), at(1)) else { panic!("most are ready") };
    schedule.release(first.id, "m", Outcome::Unproven, at(1));
    let before = super::super::contest::MATCHES.get();
    for round in 0..rounds {
        let session = round.to_string();
        let ask = Ask { session: (round % 2 == 0).then_some(session.as_str()), ..m() };
        let Choice::Granted(pick) = schedule.choose(&ask, at(1)) else { panic!("most are ready") };
        schedule.release(pick.id, "m", Outcome::Served { began: at(0) }, at(1));
    }
    f64::from(u32::try_from(super::super::contest::MATCHES.get() - before).unwrap()) / f64::from(rounds)
}

#[test]
fn a_choice_costs_a_logarithm_of_the_pools_size() {
    let small = cost(10);
    for size in [100, 1000, 10_000] {
        let levels = f64::from(u32::try_from(size / 10).unwrap()).log2();
        let more = cost(size) - small;
        // A choice and a release play one match for each level above, with a session a few more for its candidates.
        assert!(more <= 8.0 * levels, "{size} accounts: {small} and {more} matches");
    }
}
