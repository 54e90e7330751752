use crate::http::get;
use crate::support::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wharf_engine::*;

#[tokio::test]
async fn eating_memory_ends_with_137_and_gives_it_back() {
    let mut s = setup(Entry::CliP2, &["probe", "eat"]);
    s.spec.memory_limit = Some(64 << 20);
    let exit = start(&program("probe"), s.spec).wait().await;
    assert_eq!(exit, Exit { code: 137, reason: ExitReason::OutOfMemory });
    assert!(s.usage.peak_bytes() > 32 << 20 && s.usage.peak_bytes() <= 64 << 20, "{}", s.usage.peak_bytes());
    assert_eq!(s.usage.memory_bytes(), 0);
}

#[tokio::test]
async fn a_refusal_that_the_guest_copes_with_is_no_end() {
    let mut s = setup(Entry::CliP2, &["probe", "refused"]);
    s.spec.memory_limit = Some(64 << 20);
    let exit = start(&program("probe"), s.spec).wait().await;
    assert_eq!((exit.code, s.log.text().as_str()), (0, "true\n"));
}

#[tokio::test]
async fn a_limit_below_what_starting_needs_is_out_of_memory() {
    let mut s = setup(Entry::CliP2, &["probe"]);
    s.spec.memory_limit = Some(1 << 10);
    assert_eq!(start(&program("probe"), s.spec).wait().await.reason, ExitReason::OutOfMemory);
}

#[tokio::test]
async fn cpu_time_is_counted_and_held_to_the_quota() {
    let mut s = setup(Entry::CliP2, &["probe", "spin"]);
    let quota = Arc::new(CpuQuota::new(100));
    s.spec.cpu = quota.clone();
    let begin = Instant::now();
    let c = start(&program("probe"), s.spec);
    tokio::time::sleep(Duration::from_millis(1000)).await;
    c.kill();
    c.wait().await;
    let share = s.usage.cpu_nanos() as f64 / begin.elapsed().as_nanos() as f64;
    assert!((0.03..0.25).contains(&share), "used {share} of a core, allowed 0.1");
    assert!(quota.throttled_nanos() > 50_000_000, "{}", quota.throttled_nanos());
}

/// How many requests one client gets answered in `time`.
async fn answered(h: &HttpContainer, time: Duration) -> u32 {
    let (begin, mut n) = (Instant::now(), 0);
    while begin.elapsed() < time {
        assert_eq!(get(h, "/").await.0, 200);
        n += 1;
    }
    n
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spinning_neighbours_leave_a_handler_its_speed() {
    let h = serve(&program("http-p2"), setup(Entry::HttpP2, &[]).spec);
    let time = Duration::from_millis(300);
    answered(&h, time).await;
    let mut seen = Vec::new();
    // Other tests run meanwhile, and perhaps other programs: one quiet moment is enough. `wharf-bench` measures it.
    for _ in 0..12 {
        let alone = answered(&h, time).await;
        let spinners: Vec<_> = (0..4).map(|_| start(&program("probe"), setup(Entry::CliP2, &["probe", "spin"]).spec)).collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let beside = answered(&h, time).await;
        for s in &spinners {
            s.kill();
            assert_eq!(s.wait().await.code, 137);
        }
        seen.push((alone, beside));
        if beside * 5 >= alone * 4 {
            return;
        }
    }
    // Where there was none, spinners that were not pre-empted would still show: they leave next to nothing.
    assert!(seen.iter().any(|(alone, beside)| beside * 5 >= alone * 2), "requests alone and beside four spinners: {seen:?}");
}

#[tokio::test]
async fn a_guest_that_computes_long_goes_away_and_comes_back() {
    // Computes for 200 ms, waits for 1.5 s, three times; the last answer shows that nothing was lost on the way.
    let s = setup(Entry::CliP2, &["probe", "pulse", "3"]);
    let exit = start(&program("probe"), s.spec).wait().await;
    assert_eq!((exit.code, s.log.text().as_str()), (0, "pulse 0\npulse 1\npulse 2\n"));
    assert!(s.usage.cpu_nanos() > 50_000_000, "{}", s.usage.cpu_nanos());
}

#[tokio::test]
async fn a_guest_that_spins_long_after_its_start_is_stopped() {
    // The epochs rest while nothing works: they have to go on when a sleeper begins to spin.
    let s = setup(Entry::CliP2, &["probe", "sleep-spin", "3000"]);
    let c = start(&program("probe"), s.spec);
    tokio::time::sleep(Duration::from_millis(3300)).await;
    let begin = Instant::now();
    c.kill();
    assert_eq!(c.wait().await.code, 137);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}
