//! A command that imports `wharf:container/lifecycle`: the first argument says what it does with its signals.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../sdk/wit/container",
        world: "container",
        with: {
            "wasi:io/error@0.2.12": wasip2::io::error,
            "wasi:io/poll@0.2.12": wasip2::io::poll,
            "wasi:io/streams@0.2.12": wasip2::io::streams,
        },
    });
}

use bindings::wharf::container::lifecycle::{Signal, subscribe, take_signal, terminal};
use std::time::Duration;

fn main() {
    match std::env::args().nth(1).as_deref() {
        // Tells each signal; the one to end ends it with 7.
        Some("signals") => {
            tell_terminal();
            println!("ready");
            loop {
                subscribe().block();
                match take_signal() {
                    Some(Signal::Terminate) => {
                        println!("terminate");
                        wasip2::cli::exit::exit_with_code(7);
                    }
                    Some(Signal::WindowChange) => tell_terminal(),
                    Some(other) => println!("{other:?}"),
                    None => println!("nothing"),
                }
            }
        }
        // Never takes one.
        _ => {
            println!("ready");
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        }
    }
}

fn tell_terminal() {
    match terminal() {
        Some(size) => println!("terminal {}x{}", size.columns, size.rows),
        None => println!("no terminal"),
    }
}
