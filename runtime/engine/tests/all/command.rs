use crate::support::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wharf_engine::*;

async fn run(guest: &str, entry: Entry, args: &[&str]) -> (Exit, String) {
    let s = setup(entry, args);
    let exit = start(&program(guest), s.spec).wait().await;
    (exit, s.log.text())
}

fn exited(code: i32) -> Exit {
    Exit { code, reason: ExitReason::Exited }
}

#[tokio::test]
async fn arguments_environment_and_exit_codes() {
    let p2 = |args| run("probe", Entry::CliP2, args);
    assert_eq!(p2(&["/bin/probe"]).await, (exited(0), "hello from /bin/probe\n".into()));
    assert_eq!(p2(&["probe", "args", "a", "b c"]).await, (exited(0), "a|b c\n".into()));
    assert_eq!(p2(&["probe", "env"]).await, (exited(0), "GREETING=hello\n".into()));
    assert_eq!(p2(&["probe", "exit", "42"]).await, (exited(42), String::new()));
    assert_eq!(p2(&["probe", "exit-plain", "3"]).await.0, exited(1)); // wasi:cli/exit knows only ok and error
    assert_eq!(p2(&["probe", "both"]).await.1, "out\nerr\n");
}

#[tokio::test]
async fn arguments_environment_and_exit_codes_of_wasi_0_3() {
    let p3 = |args| run("probe-p3", Entry::CliP3, args);
    assert_eq!(p3(&["/bin/probe"]).await, (exited(0), "hello from /bin/probe\n".into()));
    assert_eq!(p3(&["probe", "env"]).await, (exited(0), "GREETING=hello\n".into()));
    assert_eq!(p3(&["probe", "exit", "42"]).await, (exited(42), String::new()));
    assert_eq!(p3(&["probe", "fail"]).await.0, exited(1));
    assert_eq!(p3(&["probe", "both"]).await.1, "out\nerr\n");
}

#[tokio::test]
async fn the_working_directory_is_told() {
    let mut s = setup(Entry::CliP2, &["probe", "cwd"]);
    std::fs::create_dir(s.root.path().join("srv")).unwrap();
    s.spec.working_dir = Some("/srv".into());
    start(&program("probe"), s.spec).wait().await;
    assert_eq!(s.log.text(), "/srv\n");
}

#[tokio::test]
async fn stdin_reaches_the_guest() {
    for (guest, entry) in [("probe", Entry::CliP2), ("probe-p3", Entry::CliP3)] {
        let mut s = setup(entry, &["probe", "cat"]);
        s.spec.stdin = Some(Box::new(std::io::Cursor::new(b"from outside".to_vec())));
        assert_eq!(start(&program(guest), s.spec).wait().await, exited(0));
        assert_eq!(s.log.text(), "from outside");
    }
}

#[tokio::test]
async fn signals_end_a_command_whatever_it_does() {
    for (guest, entry) in [("probe", Entry::CliP2), ("probe-p3", Entry::CliP3)] {
        for (args, signal, code) in [(["probe", "sleep", "3600000"], Signal::Term, 143), (["probe", "spin", ""], Signal::Kill, 137)] {
            let s = setup(entry, &args);
            let c = start(&program(guest), s.spec);
            tokio::time::sleep(Duration::from_millis(60)).await;
            assert_eq!(c.ended(), None);
            let begin = Instant::now();
            c.signal(signal);
            assert_eq!(c.wait().await, Exit { code, reason: ExitReason::Signaled(signal) });
            assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
            assert_eq!(c.wait().await.code, code); // anybody may ask again
        }
    }
}

#[tokio::test]
async fn a_guest_that_takes_signals_ends_itself() {
    let mut s = setup(Entry::CliP2, &["session", "signals"]);
    s.spec.terminal = Some(TerminalSize { columns: 80, rows: 24 });
    let c = start(&program("session"), s.spec);
    s.log.wait_for("terminal 80x24\nready\n").await;
    c.signal(Signal::Int);
    s.log.wait_for("Signal::Interrupt\n").await;
    c.resize(TerminalSize { columns: 100, rows: 30 });
    s.log.wait_for("terminal 100x30\n").await;
    assert_eq!(c.ended(), None);
    c.signal(Signal::Term);
    assert_eq!(c.wait().await, exited(7));
    assert_eq!(s.log.text(), "terminal 80x24\nready\nSignal::Interrupt\nterminal 100x30\nterminate\n");
}

#[tokio::test]
async fn a_guest_that_takes_no_signal_it_could_take_is_killed() {
    let s = setup(Entry::CliP2, &["session", "deaf"]);
    let c = start(&program("session"), s.spec);
    s.log.wait_for("ready\n").await;
    c.signal(Signal::Term);
    assert!(tokio::time::timeout(Duration::from_millis(100), c.wait()).await.is_err());
    c.kill();
    assert_eq!(c.wait().await, Exit { code: 137, reason: ExitReason::Signaled(Signal::Kill) });
}

#[test]
fn the_interface_of_signals_is_offered() {
    ENGINE.check(&inspect(&guest_bytes("session")).unwrap()).unwrap();
    assert!(offers().any(|o| o == "wharf:container/lifecycle@0.1.0"));
}

#[tokio::test]
async fn dropping_the_handle_ends_the_command() {
    let s = setup(Entry::CliP2, &["probe", "sleep", "3600000"]);
    let c = start(&program("probe"), s.spec);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(s.usage.peak_bytes() > 0);
    drop(c);
    for _ in 0..400 {
        if s.usage.memory_bytes() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} bytes still held", s.usage.memory_bytes());
}

#[tokio::test]
async fn a_trap_has_its_words_and_134() {
    for (guest, entry) in [("probe", Entry::CliP2), ("probe-p3", Entry::CliP3)] {
        let (exit, log) = run(guest, entry, &["probe", "trap"]).await;
        assert_eq!(exit.code, 134);
        assert!(matches!(&exit.reason, ExitReason::Trap(w) if w.contains("unreachable")), "{exit:?}");
        assert!(log.contains("asked to"), "{log}"); // the panic's own message
    }
}

/// Takes one kilobyte whenever it is told to.
struct Slow {
    taken: std::sync::atomic::AtomicUsize,
    allowed: std::sync::atomic::AtomicUsize,
    waker: futures::task::AtomicWaker,
}

impl LogSink for Slow {
    fn poll_write(&self, cx: &mut std::task::Context<'_>, bytes: &[u8]) -> std::task::Poll<std::io::Result<usize>> {
        use std::sync::atomic::Ordering::SeqCst;
        self.waker.register(cx.waker());
        let n = (self.allowed.load(SeqCst) - self.taken.load(SeqCst)).min(bytes.len());
        if n == 0 {
            return std::task::Poll::Pending;
        }
        self.taken.fetch_add(n, SeqCst);
        std::task::Poll::Ready(Ok(n))
    }
}

#[tokio::test]
async fn a_slow_sink_holds_the_guest_back() {
    use std::sync::atomic::Ordering::SeqCst;
    let slow = Arc::new(Slow { taken: 0.into(), allowed: 0.into(), waker: Default::default() });
    let mut s = setup(Entry::CliP2, &["probe", "flood", "1024"]);
    s.spec.stdout = slow.clone();
    let c = start(&program("probe"), s.spec);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((slow.taken.load(SeqCst), c.ended()), (0, None));
    slow.allowed.store(2 << 20, SeqCst);
    slow.waker.wake();
    assert_eq!(c.wait().await, exited(0));
    assert_eq!(slow.taken.load(SeqCst), 1 << 20);
}

#[tokio::test]
async fn compiled_elsewhere_and_loaded_from_a_file() {
    let wasm = guest_bytes("probe");
    let seen = inspect(&wasm).unwrap();
    assert_eq!((seen.flavor, seen.entries.as_slice()), (Flavor::P2, [Entry::CliP2].as_slice()));
    ENGINE.check(&seen).unwrap();
    assert_eq!(wharf_engine::engine::compatibility(Flavor::P2).unwrap(), ENGINE.compatibility(Flavor::P2));
    assert_ne!(ENGINE.compatibility(Flavor::P3), ENGINE.compatibility(Flavor::P2));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("probe.cwasm");
    std::fs::write(&file, compile(Flavor::P2, &wasm).unwrap()).unwrap();
    let s = setup(Entry::CliP2, &["probe", "args", "loaded"]);
    start(&ENGINE.load(&file, Flavor::P2).unwrap(), s.spec).wait().await;
    assert_eq!(s.log.text(), "loaded\n");
    // Neither the other engine nor a damaged file is accepted.
    assert!(matches!(ENGINE.load(&file, Flavor::P3), Err(EngineError::Load(_))));
    std::fs::write(&file, &std::fs::read(&file).unwrap()[..1000]).unwrap();
    assert!(matches!(ENGINE.load(&file, Flavor::P2), Err(EngineError::Load(_))));
}
