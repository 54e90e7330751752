//! Running a command: one store, one instance, one call of `run`.

use super::{Command, Exit, Handle, Signal};
use crate::container::{ContainerSpec, StartError};
use crate::engine::Program;
use crate::inspect::Entry;
use crate::io::{Input, Output};
use crate::limits::{Guest, Lost, Meter};
use crate::template::{Template, words};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use wasmtime_wasi::I32Exit;

/// How long output that a sink has not taken yet is waited for after a signal.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(crate) fn start(program: &Program, spec: ContainerSpec) -> Result<Command, StartError> {
    let entry = spec.entry;
    let there = match entry {
        Entry::CliP2 => program.inner.pre.cli_p2.is_some(),
        Entry::CliP3 => program.inner.pre.cli_p3.is_some(),
        _ => false,
    };
    if !there {
        return Err(StartError::NoEntry(entry.name()));
    }
    let (template, stdin) = Template::new(program, spec);
    let lifecycle = template.lifecycle.clone();
    let (end, mut ending) = watch::channel(None);
    let (exit_tx, exit) = watch::channel(None);
    tokio::spawn(async move {
        let outputs = [template.stdout.clone(), template.stderr.clone()];
        let exit = run(template, entry, stdin, &mut ending).await;
        // Who reads slowly gets all of it; who wants the command gone does not wait for that.
        let last_words = async {
            signaled(&mut ending).await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        tokio::select! {
            () = drain(&outputs) => {}
            () = last_words => {}
        }
        exit_tx.send_replace(Some(exit));
    });
    Ok(Command { inner: Arc::new(Handle { end, exit, lifecycle, takes_signals: program.inner.takes_signals }) })
}

async fn run(template: Template, entry: Entry, stdin: Option<Input>, ending: &mut watch::Receiver<Option<Signal>>) -> Exit {
    let meter = template.meter();
    let engine = template.program.inner.engine.clone();
    let mut guest = Guest::new(meter.clone(), call(template, entry, stdin, meter));
    tokio::select! {
        biased;
        signal = signaled(ending) => Exit::signaled(signal),
        done = std::future::poll_fn(|cx| guest.poll(cx, &engine.inner.batch)) => match done {
            Ok(exit) => exit,
            Err(Lost(why)) => Exit::trap(why),
        },
    }
}

/// The signal that ends the command; the last handle's going is as good as `KILL`.
async fn signaled(ending: &mut watch::Receiver<Option<Signal>>) -> Signal {
    match ending.wait_for(Option::is_some).await {
        Ok(s) => s.unwrap_or(Signal::Kill),
        Err(_) => Signal::Kill,
    }
}

async fn call(template: Template, entry: Entry, stdin: Option<Input>, meter: Arc<Meter>) -> Exit {
    let mut store = template.store(meter.clone(), stdin);
    let pre = &template.program.inner.pre;
    let mut started = false;
    let result: wasmtime::Result<Result<(), ()>> = async {
        match (entry, &pre.cli_p2, &pre.cli_p3) {
            (Entry::CliP2, Some(pre), _) => {
                let command = pre.instantiate_async(&mut store).await?;
                started = true;
                command.wasi_cli_run().call_run(&mut store).await
            }
            (_, _, Some(pre)) => {
                let command = pre.instantiate_async(&mut store).await?;
                started = true;
                store.run_concurrent(async |a| command.wasi_cli_run().call_run(a).await).await?
            }
            _ => Err(wasmtime::format_err!("no such entry")),
        }
    }
    .await;
    match result {
        Ok(Ok(())) => Exit::code(0),
        Ok(Err(())) => Exit::code(1),
        Err(e) => match e.downcast_ref::<I32Exit>() {
            Some(exit) => Exit::code(exit.0),
            None if meter.memory_refused() => Exit::out_of_memory(),
            None if !started => Exit::start_failed(words(&e)),
            None => Exit::trap(words(&e)),
        },
    }
}

async fn drain(outputs: &[Output]) {
    for o in outputs {
        let _ = std::future::poll_fn(|cx| o.poll_drain(cx)).await;
    }
}
