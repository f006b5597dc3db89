//! Each rule by example; `agreement` holds all of them together against the naive scheduler.

mod agreement;
mod rules;

use super::*;

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn account(id: AccountId) -> Account {
    Account { id, priority: 0, weight: 1, limit: None, expires_at: None, enabled: true }
}

fn grouped(groups: &[Vec<String>]) -> Schedule {
    Schedule::new(Strategy::Balanced, Duration::from_hours(1), Groups::new(groups.iter().map(Vec::as_slice)))
}

fn schedule() -> Schedule {
    grouped(&[])
}

fn pool(ids: impl IntoIterator<Item = AccountId>) -> Schedule {
    let mut schedule = schedule();
    ids.into_iter().for_each(|id| schedule.upsert(account(id)));
    schedule
}

/// An ask for model `m`.
fn m<'a>() -> Ask<'a> {
    Ask { model: "m", ..Ask::default() }
}

fn granted(id: AccountId) -> Choice {
    Choice::Granted(Pick { id, moved: false })
}
