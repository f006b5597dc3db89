use super::{
    backoff::backoff,
    queue::Queue,
    renew::{REFRESH_OFF, Renewal, unknown},
    stopped,
};
use crate::{
    metrics::Metrics,
    pool::Pool,
    store::{Row, State, Store, StoreError},
    upstream::AccountIo,
};
use lru::LruCache;
use pollux_sdk::{AccountError, Credential, Provider, Reason};
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    fmt,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::watch,
    task::{self, JoinError, JoinSet},
    time::Instant,
};

/// Tokens are renewed this long before their end.
const MARGIN: Duration = Duration::from_mins(5);
/// Account operations of one provider at a time.
const JOBS: usize = 16;
/// A validation that never succeeds is given up after so many tries (more than an hour).
const VALIDATION_TRIES: u32 = 24;
const TICK: Duration = Duration::from_secs(10);
/// How often the vendor is asked about an account that is in use.
const SURVEY: Duration = Duration::from_mins(5);
/// How often other replicas' unfinished refreshes are looked for.
const CHECK: Duration = Duration::from_mins(1);

/// Looks after the accounts of one provider.
pub struct Keeper {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) pool: Arc<Pool>,
    pub(super) store: Store,
    pub(super) io: Arc<AccountIo>,
    pub(super) metrics: Arc<Metrics>,
    /// Whether tokens are renewed at all.
    pub(super) refreshes: bool,
    pub(super) queue: Queue,
    /// Refreshes that failed and are to be tried again, also where the old token has not ended yet.
    retries: Queue,
    /// Failures in a row, by account.
    failures: Mutex<HashMap<i64, u32>>,
    /// Rows that went into another one, for who still asks for them.
    pub(super) heirs: Mutex<LruCache<i64, i64>>,
}

/// Merged rows that are remembered.
const HEIRS: NonZeroUsize = NonZeroUsize::new(4096).expect("4096 is not zero");

impl Keeper {
    /// A keeper that does nothing yet.
    pub fn new(
        provider: Arc<dyn Provider>,
        pool: Arc<Pool>,
        store: Store,
        io: Arc<AccountIo>,
        metrics: Arc<Metrics>,
        refreshes: bool,
    ) -> Self {
        Self {
            provider,
            pool,
            store,
            io,
            metrics,
            refreshes,
            queue: Queue::default(),
            retries: Queue::default(),
            failures: Mutex::default(),
            heirs: Mutex::new(LruCache::new(HEIRS)),
        }
    }

    pub(super) fn id(&self) -> &'static str {
        self.provider.descriptor().id
    }

    /// Takes over what is stored: publishes what is in order, picks up what a crash left.
    ///
    /// # Errors
    /// Fails when the store does.
    pub async fn resume(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        let interrupted: HashSet<i64> = self.store.interrupted().await?.iter().map(|row| row.id).collect();
        for mut row in rows {
            if interrupted.contains(&row.id) {
                row = self.interrupted(row).await?;
            }
            let waited = row.reason.as_ref().is_some_and(|reason| reason.code == REFRESH_OFF);
            if waited && self.refreshes && row.state == State::Suspended {
                row = self.store.set_state(row.id, State::Validating, None).await?.unwrap_or(row);
            }
            match row.state {
                State::Active => self.pool.publish(&row),
                State::Validating => self.queue.push(row.id, Duration::ZERO),
                _ => {}
            }
        }
        Ok(())
    }

    /// Another replica may have died in the middle of a refresh.
    async fn look_for_interrupted(&self) {
        let look = async {
            for row in self.store.interrupted().await? {
                if row.provider == self.id() {
                    self.take(&self.interrupted(row).await?);
                }
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = look.await {
            tracing::warn!(provider = self.id(), %error, "interrupted refreshes not looked for");
        }
    }

    /// A refresh was begun and never ended: the process died in between.
    async fn interrupted(&self, row: Row) -> Result<Row, StoreError> {
        if self.provider.descriptor().single_use_refresh {
            tracing::error!(provider = self.id(), account = %row.label(), "refresh_unknown: a refresh was cut off, log in again");
            self.store.lost_refresh(&row, &unknown("Pollux stopped in the middle of it")).await?;
        } else {
            self.store.abandon_refresh(&row).await?;
        }
        Ok(self.store.get(row.id).await?.unwrap_or(row))
    }

    /// The loop. Ends when `stop` turns true, after the jobs in flight have ended.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut jobs: JoinSet<()> = JoinSet::new();
        let mut running: HashMap<task::Id, i64> = HashMap::new();
        let mut wanted: BTreeSet<i64> = BTreeSet::new();
        let mut next_check = Instant::now() + CHECK;
        let mut next_flush = Instant::now() + TICK;
        let mut surveys: VecDeque<i64> = VecDeque::new();
        loop {
            if next_check <= Instant::now() {
                next_check = Instant::now() + CHECK;
                self.look_for_interrupted().await;
            }
            self.write_down().await;
            for id in self.retries.take_due(usize::MAX) {
                self.pool.want_refresh(id);
            }
            let margin = if self.refreshes { MARGIN } else { Duration::ZERO };
            wanted.extend(self.pool.take_refresh_wants(SystemTime::now(), margin));
            let busy: HashSet<i64> = running.values().copied().collect();
            let room = JOBS.saturating_sub(jobs.len());
            let free: Vec<i64> = wanted.iter().copied().filter(|id| !busy.contains(id)).take(room).collect();
            for id in free {
                wanted.remove(&id);
                let keeper = Arc::clone(&self);
                running.insert(jobs.spawn(async move { keeper.refresh(id).await }).id(), id);
            }
            for id in self.queue.take_due(JOBS.saturating_sub(jobs.len())) {
                if busy.contains(&id) {
                    self.queue.push(id, Duration::from_secs(1));
                    continue;
                }
                let keeper = Arc::clone(&self);
                let stop = stop.clone();
                running.insert(jobs.spawn(async move { keeper.validate(id, stop).await }).id(), id);
            }
            surveys.extend(self.pool.take_survey_wants(SystemTime::now(), SURVEY));
            while jobs.len() < JOBS / 2
                && let Some(id) = surveys.pop_front()
            {
                let keeper = Arc::clone(&self);
                jobs.spawn(async move { keeper.survey(id).await });
            }
            if next_flush <= Instant::now() {
                next_flush = Instant::now() + TICK;
                self.write_readings().await;
            }
            let tick = Instant::now() + TICK;
            let full = jobs.len() >= JOBS;
            let due = [self.queue.next_due().filter(|_| !full), self.retries.next_due()];
            let wake = due.into_iter().flatten().fold(tick, Instant::min);
            tokio::select! {
                () = stopped(&mut stop) => break,
                () = self.pool.noted() => {}
                () = self.queue.changed() => {}
                () = self.retries.changed() => {}
                () = tokio::time::sleep_until(wake) => {}
                Some(done) = jobs.join_next_with_id(), if !jobs.is_empty() => {
                    let job = done.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
                    running.remove(&job);
                    if let Err(error) = done {
                        tracing::error!(provider = self.id(), %error, "an account job failed");
                    }
                }
            }
        }
        // A vendor's answer that is under way must still be written down.
        while jobs.join_next().await.is_some() {}
        self.write_down().await;
        self.write_readings().await;
    }

    /// Writes down what requests learnt. A failed write is only logged: the pool itself already knows.
    async fn write_down(&self) {
        let outbox = self.pool.take_outbox();
        for ((id, model), until) in outbox.cooled {
            if let Err(error) = self.store.cool(id, model.as_deref(), until).await {
                tracing::warn!(provider = self.id(), account = id, %error, "cooldown not stored");
            }
        }
        for (id, reason) in outbox.suspended {
            tracing::warn!(provider = self.id(), account = id, code = %reason.code, %reason, link = reason.link, "account suspended");
            if let Err(error) = self.store.set_state(id, State::Suspended, Some(reason)).await {
                tracing::error!(provider = self.id(), account = id, %error, "suspension not stored");
            }
        }
    }

    async fn write_readings(&self) {
        let readings = self.pool.take_readings(SystemTime::now());
        if readings.is_empty() {
            return;
        }
        if let Err(error) = self.store.save_readings(&readings).await {
            tracing::warn!(provider = self.id(), %error, "quota readings not stored");
        }
    }

    /// Renews an account of the pool.
    async fn refresh(&self, id: i64) {
        if !self.pool.is_refreshing(id) {
            return; // another account with the same token brought the new one
        }
        let row = match self.store.get(id).await {
            Ok(Some(row)) if row.state == State::Active => row,
            Ok(_) => return self.pool.remove(id),
            Err(error) => return self.refresh_later(id, &error.to_string()),
        };
        let renewal = self.renew(&row).await;
        match renewal {
            Renewal::Fresh(rows) => {
                for row in &rows {
                    self.settled(row.id);
                    tracing::info!(provider = self.id(), account = %row.label(), "token refreshed");
                    self.take(row);
                }
            }
            Renewal::Overtaken(Some(row)) if row.revision > self.pool.revision(id).unwrap_or(-1) => {
                self.take(&row);
            }
            Renewal::Overtaken(Some(_)) => self.pool.refresh_failed(id, SystemTime::now() + backoff(1)),
            Renewal::Overtaken(None) => self.pool.remove(id),
            Renewal::Later(text) => self.refresh_later(id, &text),
            Renewal::Dead(rows) => self.dead(&rows),
        }
    }

    /// Renews an account of the store alone, while nobody else is at work.
    ///
    /// # Errors
    /// Says why there is no new token.
    pub async fn renew_alone(&self, row: &Row) -> Result<(), String> {
        match self.renew(row).await {
            Renewal::Fresh(_) => Ok(()),
            Renewal::Overtaken(_) => Err("somebody else renews this account".to_owned()),
            Renewal::Later(text) => Err(text),
            Renewal::Dead(rows) => {
                let reason = rows.into_iter().find(|dead| dead.id == row.id).and_then(|dead| dead.reason);
                Err(reason.map_or_else(|| "the account is out".to_owned(), |reason| reason.text))
            }
        }
    }

    fn refresh_later(&self, id: i64, text: &str) {
        let pause = backoff(self.failed(id));
        tracing::warn!(
            provider = self.id(),
            account = id,
            error = text,
            ?pause,
            "refresh failed, trying again later"
        );
        self.pool.refresh_failed(id, SystemTime::now() + pause);
        self.retries.push(id, pause);
    }

    fn dead(&self, rows: &[Row]) {
        for row in rows {
            let (code, text) =
                row.reason.as_ref().map_or(("", ""), |reason| (reason.code.as_ref(), reason.text.as_str()));
            tracing::warn!(provider = self.id(), account = %row.label(), state = %row.state, code, text, "account is out");
            self.pool.remove(row.id);
        }
    }

    /// Publishes a row, or takes it out of the pool, as its state says.
    pub fn take(&self, row: &Row) {
        if row.state == State::Active { self.pool.publish(row) } else { self.pool.remove(row.id) }
    }

    /// Makes a usable account of a login.
    async fn validate(&self, id: i64, mut stop: watch::Receiver<bool>) {
        let row = match self.store.get(id).await {
            Ok(Some(row)) if row.state == State::Validating => row,
            Ok(_) => return,
            Err(error) => return self.validate_later(id, error.to_string()).await,
        };
        let row = if stale(&row.credential, SystemTime::now()) {
            match self.renew(&row).await {
                Renewal::Fresh(rows) => {
                    let ours = rows.iter().find(|row| row.id == id).cloned();
                    rows.iter().filter(|row| row.state == State::Active).for_each(|row| self.take(row));
                    match ours {
                        Some(row) => row,
                        None => return,
                    }
                }
                Renewal::Overtaken(_) => return self.queue.push(id, Duration::from_secs(1)),
                Renewal::Later(text) => return self.validate_later(id, text).await,
                Renewal::Dead(rows) => return self.dead(&rows),
            }
        } else {
            row
        };
        // Enrolling spends nothing and may take a minute: the next start begins it anew.
        let way = self.io.by(row.limits.proxy.as_ref());
        let enrolled = tokio::select! {
            enrolled = self.provider.enroll(&way, row.credential.clone()) => enrolled,
            () = stopped(&mut stop) => return,
        };
        match enrolled {
            Ok(credentials) => self.enrolled(&row, credentials).await,
            Err(AccountError::Suspend(reason)) => {
                tracing::warn!(provider = self.id(), account = %row.label(), code = %reason.code, %reason, link = reason.link, "account is not usable");
                self.settled(id);
                self.set_state(id, State::Suspended, Some(reason)).await;
            }
            Err(AccountError::Transient(text) | AccountError::Unsure(text)) => {
                self.validate_later(id, text).await;
            }
        }
    }

    async fn enrolled(&self, row: &Row, credentials: Vec<Credential>) {
        let state = if row.trusted { State::Active } else { State::Pending };
        match self.store.enrolled(row.id, credentials, state).await {
            Ok(rows) => {
                self.settled(row.id);
                if let Some(heir) = rows.first().filter(|heir| heir.id != row.id) {
                    self.heirs.lock().unwrap_or_else(PoisonError::into_inner).put(row.id, heir.id);
                }
                for row in &rows {
                    self.take(row);
                    if row.state == State::Departed {
                        let reason = row.reason.as_ref().map(|reason| reason.text.as_str());
                        tracing::warn!(provider = self.id(), account = %row.label(), id = row.id, reason, "account left the pool");
                    } else if row.state == State::Pending {
                        tracing::warn!(provider = self.id(), account = %row.label(), id = row.id, origin = %row.origin, "account waits for approval: pollux accounts approve {}", row.id);
                    } else {
                        tracing::info!(provider = self.id(), account = %row.label(), id = row.id, state = %row.state, "account is in the pool");
                    }
                }
            }
            Err(error) => self.validate_later(row.id, error.to_string()).await,
        }
    }

    async fn validate_later(&self, id: i64, text: String) {
        let failures = self.failed(id);
        if failures >= VALIDATION_TRIES {
            tracing::error!(provider = self.id(), account = id, error = text, "validation given up");
            return self.set_state(id, State::Suspended, Some(Reason::new("validation_failed", text))).await;
        }
        let pause = backoff(failures);
        tracing::warn!(
            provider = self.id(),
            account = id,
            error = text,
            ?pause,
            "validation failed, trying again later"
        );
        self.set_state(id, State::Validating, Some(Reason::new("retrying", text))).await;
        self.queue.push(id, pause);
    }

    async fn set_state(&self, id: i64, state: State, reason: Option<Reason>) {
        match self.store.set_state(id, state, reason).await {
            Ok(Some(row)) => self.take(&row),
            Ok(None) => self.pool.remove(id),
            Err(error) => tracing::error!(provider = self.id(), account = id, %error, "state not stored"),
        }
    }

    fn failed(&self, id: i64) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(id).or_default();
        *count = count.saturating_add(1);
        *count
    }

    fn settled(&self, id: i64) {
        self.retries.remove(id);
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// Whether there is no access token, or one that ends too soon to enroll with.
fn stale(credential: &Credential, now: SystemTime) -> bool {
    let ends_soon = credential.expires_at.is_some_and(|at| at <= now + Duration::from_mins(1));
    credential.refresh.is_some() && (credential.access.is_none() || ends_soon)
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("provider", &self.id()).finish_non_exhaustive()
    }
}
