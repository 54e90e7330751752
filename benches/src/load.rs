//! Load: many workers, one operation, a time or a number, and percentiles.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

/// What a run gave.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    /// Operations per second.
    pub(crate) per_second: f64,
    /// Half took no longer.
    pub(crate) p50: Duration,
    /// All but a hundredth took no longer.
    pub(crate) p99: Duration,
    /// Operations that failed.
    pub(crate) errors: usize,
}

/// When a run is over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After so long.
    Time(Duration),
    /// After so many operations.
    Count(usize),
}

/// Runs `operation(state, n)` in one worker for each state, n counting up over all.
pub(crate) async fn run<S, F>(states: Vec<S>, until: Until, operation: impl Fn(S, usize) -> F + Send + Sync + 'static) -> Result<Rate>
where
    S: Send + 'static,
    F: Future<Output = (S, bool)> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let operation = Arc::new(operation);
    let begin = Instant::now();
    let workers: Vec<_> = states
        .into_iter()
        .map(|mut state| {
            let (next, operation) = (next.clone(), operation.clone());
            tokio::spawn(async move {
                let (mut times, mut errors) = (Vec::new(), 0);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let over = match until {
                        Until::Time(time) => begin.elapsed() >= time,
                        Until::Count(count) => n >= count,
                    };
                    if over {
                        return (times, errors);
                    }
                    let start = Instant::now();
                    let well;
                    (state, well) = operation(state, n).await;
                    times.push(start.elapsed());
                    errors += usize::from(!well);
                }
            })
        })
        .collect();
    let (mut times, mut errors) = (Vec::new(), 0);
    for worker in workers {
        let (more, wrong) = worker.await?;
        times.extend(more);
        errors += wrong;
    }
    let elapsed = begin.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |q: f64| times.get((q * times.len().saturating_sub(1) as f64) as usize).copied().unwrap_or_default();
    Ok(Rate { per_second: times.len() as f64 / elapsed, p50: at(0.5), p99: at(0.99), errors })
}

/// The run with the median rate.
pub(crate) fn middle(mut rates: Vec<Rate>) -> Rate {
    rates.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    rates.swap_remove(rates.len() / 2)
}

/// One line of a table.
pub(crate) fn print(what: &str, rate: &Rate) {
    let errors = if rate.errors > 0 { format!("  {} ERRORS", rate.errors) } else { String::new() };
    println!("{what:<44} {:>9.0}/s   p50 {:>7.3} ms   p99 {:>7.3} ms{errors}", rate.per_second, rate.p50.as_secs_f64() * 1e3, rate.p99.as_secs_f64() * 1e3);
}
