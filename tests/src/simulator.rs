//! The vendors, simulated in this process: Google (OAuth, Code Assist), `OpenAI` (OAuth, the Codex backend) and
//! Anthropic (OAuth, the Messages API).
//!
//! Each vendor listens on a loopback port of its own, so that a request sent to the wrong one fails. The
//! simulator runs on threads of its own and needs no runtime of its user; dropping it closes everything.
//!
//! ```
//! use pollux_tests::simulator::{Fault, Injection, Simulator};
//!
//! let simulator = Simulator::start();
//! let alice = simulator.google().account("alice").project("alice-project");
//! let bob = simulator.openai().account("bob").plan("plus");
//! println!("{} {}", alice.refresh_token(), bob.refresh_token());
//! simulator.inject(Injection::new(Fault::Reset).path("/responses").account("bob").times(2));
//! assert!(simulator.google_url().starts_with("http://127.0.0.1:"));
//! assert_eq!(simulator.record().connections(), 0);
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

pub mod anthropic;
mod deliver;
mod fault;
pub mod google;
mod oauth;
pub mod openai;
mod quota;
mod record;
mod reply;
mod script;
mod server;
mod token;
mod wire;

#[cfg(test)]
mod tests;

pub use fault::{Fault, Gate, Injection, InjectionId};
pub use record::{Ending, Received, Record, Vendor};
pub use reply::{Body, Reply};
pub use script::{Answer, Script, TOOL_MARKER, TOOL_OUTPUT};
pub use token::{challenge, claims, jwt};

/// All vendors, running until dropped.
#[derive(Debug)]
pub struct Simulator {
    world: Arc<World>,
    google: SocketAddr,
    openai: SocketAddr,
    anthropic: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// All state, shared by the connections.
#[derive(Debug, Default)]
pub(crate) struct World {
    faults: fault::Faults,
    record: Record,
    google_script: Script,
    openai_script: Script,
    anthropic_script: Script,
    google: Mutex<google::State>,
    openai: Mutex<openai::State>,
    anthropic: Mutex<anthropic::State>,
}

impl World {
    fn script(&self, vendor: Vendor) -> &Script {
        match vendor {
            Vendor::Google => &self.google_script,
            Vendor::OpenAi => &self.openai_script,
            Vendor::Anthropic => &self.anthropic_script,
        }
    }
}

impl Simulator {
    /// Starts all vendors on free ports.
    #[must_use]
    pub fn start() -> Self {
        Self::launch().expect("a free loopback port can be bound")
    }

    fn launch() -> io::Result<Self> {
        let world = Arc::new(World::default());
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let shared = Arc::clone(&world);
        let thread = std::thread::Builder::new().name("simulator".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            runtime.block_on(async {
                let mut addresses = Vec::new();
                for vendor in [Vendor::Google, Vendor::OpenAi, Vendor::Anthropic] {
                    match server::bind().await {
                        Err(error) => return drop(ready.send(Err(error))),
                        Ok((listener, address)) => {
                            tokio::spawn(server::accept(listener, vendor, Arc::clone(&shared)));
                            addresses.push(address);
                        }
                    }
                }
                let _ = ready.send(Ok(addresses));
                let _ = stopped.await;
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        })?;
        let addresses = started.recv().map_err(io::Error::other)??;
        let [google, openai, anthropic] = addresses[..] else {
            return Err(io::Error::other("a vendor is missing"));
        };
        Ok(Self { world, google, openai, anthropic, stop: Some(stop), thread: Some(thread) })
    }

    /// Google's origin, for `api_url` as well as for the OAuth endpoints.
    pub fn google_url(&self) -> String {
        format!("http://{}", self.google)
    }

    /// `OpenAI`'s origin, for `api_url` as well as for the OAuth endpoints.
    pub fn openai_url(&self) -> String {
        format!("http://{}", self.openai)
    }

    /// Anthropic's origin, for `api_url` as well as for the OAuth endpoints.
    pub fn anthropic_url(&self) -> String {
        format!("http://{}", self.anthropic)
    }

    /// Google's accounts, models and clients.
    pub fn google(&self) -> google::Google {
        google::Google::new(Arc::clone(&self.world))
    }

    /// `OpenAI`'s accounts, models and client.
    pub fn openai(&self) -> openai::OpenAi {
        openai::OpenAi::new(Arc::clone(&self.world))
    }

    /// Anthropic's accounts, models and client.
    pub fn anthropic(&self) -> anthropic::Anthropic {
        anthropic::Anthropic::new(Arc::clone(&self.world))
    }

    /// Everything received so far.
    pub fn record(&self) -> &Record {
        &self.world.record
    }

    /// Arms a fault. Where several match a request, the one armed first strikes.
    pub fn inject(&self, injection: Injection) -> InjectionId {
        self.world.faults.add(injection)
    }

    /// Disarms a fault.
    pub fn remove(&self, id: InjectionId) {
        self.world.faults.remove(id);
    }

    /// Disarms all faults.
    pub fn clear_faults(&self) {
        self.world.faults.clear();
    }

    /// How often a fault has struck.
    pub fn hits(&self, id: InjectionId) -> usize {
        self.world.faults.hits(id)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A panic in one test must not hide behind a poisoned lock in the next.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
