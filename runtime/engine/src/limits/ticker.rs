use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use wasmtime::EngineWeak;

/// Ticks without a guest at work until the ticker goes to sleep.
const IDLE_TICKS: u32 = 200;
/// How long it sleeps at most, so that it ends some time after its engines.
const NAP: Duration = Duration::from_secs(5);

/// Moves the epochs on while guests work.
pub(crate) struct Ticker {
    used: AtomicBool,
    asleep: AtomicBool,
    thread: std::thread::Thread,
}

impl Ticker {
    pub(crate) fn start(engines: [EngineWeak; 2], tick: Duration) -> Arc<Self> {
        let (tx, rx) = std::sync::mpsc::channel::<Arc<Ticker>>();
        let run = move || {
            let Ok(me) = rx.recv() else { return };
            let mut idle = 0;
            loop {
                std::thread::sleep(tick);
                let alive: Vec<_> = engines.iter().filter_map(EngineWeak::upgrade).collect();
                if alive.is_empty() {
                    return;
                }
                alive.iter().for_each(wasmtime::Engine::increment_epoch);
                drop(alive);
                idle = if me.used.swap(false, SeqCst) { 0 } else { idle + 1 };
                if idle > IDLE_TICKS {
                    me.sleep(&engines);
                    idle = 0;
                }
            }
        };
        // Without a thread nothing could ever be preempted; the process is out of threads then, and fails anyway.
        let handle = std::thread::Builder::new().name("wharf-epochs".into()).spawn(run).expect("the epoch thread can be started");
        let me = Arc::new(Ticker { used: false.into(), asleep: false.into(), thread: handle.thread().clone() });
        let _ = tx.send(me.clone());
        me
    }

    fn sleep(&self, engines: &[EngineWeak]) {
        self.asleep.store(true, SeqCst);
        // Whoever came between saw it awake; whoever comes now wakes it.
        while !self.used.load(SeqCst) && self.asleep.load(SeqCst) && engines.iter().any(|e| e.upgrade().is_some()) {
            std::thread::park_timeout(NAP);
        }
        self.asleep.store(false, SeqCst);
    }

    /// To be called whenever guest code is about to run.
    pub(crate) fn wake(&self) {
        if self.used.load(SeqCst) {
            return;
        }
        self.used.store(true, SeqCst);
        if self.asleep.swap(false, SeqCst) {
            self.thread.unpark();
        }
    }
}
