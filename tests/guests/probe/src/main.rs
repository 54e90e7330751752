//! A WASI 0.2 command for the engine's tests: the first argument says what it does.

mod files;
mod net;

use std::io::{Read, Write};
use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let rest: Vec<&str> = args.iter().skip(2).map(String::as_str).collect();
    match args.get(1).map(String::as_str).unwrap_or("hello") {
        "hello" => println!("hello from {}", args.first().map_or("nobody", String::as_str)),
        "args" => println!("{}", rest.join("|")),
        "env" => std::env::vars().for_each(|(k, v)| println!("{k}={v}")),
        "cwd" => println!("{}", wasip2::cli::environment::initial_cwd().unwrap()),
        "exit" => wasip2::cli::exit::exit_with_code(rest[0].parse().unwrap()),
        "exit-plain" => std::process::exit(rest[0].parse().unwrap()),
        "both" => {
            println!("out");
            eprintln!("err");
        }
        "cat" => {
            let mut text = Vec::new();
            match rest.first() {
                Some(path) => text = std::fs::read(path).unwrap(),
                None => drop(std::io::stdin().read_to_end(&mut text).unwrap()),
            }
            std::io::stdout().write_all(&text).unwrap();
        }
        "flood" => {
            let line = [b'x'; 1024];
            for _ in 0..rest[0].parse::<u32>().unwrap() {
                std::io::stdout().write_all(&line).unwrap();
            }
            std::io::stdout().flush().unwrap();
        }
        "sleep" => std::thread::sleep(Duration::from_millis(rest[0].parse().unwrap())),
        "spin" => loop {
            std::hint::black_box(0);
        },
        "spin-for" => {
            let (begin, time) = (std::time::Instant::now(), Duration::from_millis(rest[0].parse().unwrap()));
            let mut turns = 0u64;
            while begin.elapsed() < time {
                turns += 1;
            }
            println!("{}", turns > 0);
        }
        "sleep-spin" => {
            std::thread::sleep(Duration::from_millis(rest[0].parse().unwrap()));
            loop {
                std::hint::black_box(0);
            }
        }
        "pulse" => {
            for i in 0..rest[0].parse::<u32>().unwrap() {
                let begin = std::time::Instant::now();
                while begin.elapsed() < Duration::from_millis(200) {}
                println!("pulse {i}");
                std::thread::sleep(Duration::from_millis(1500));
            }
        }
        "eat" => {
            let mut held = Vec::new();
            loop {
                held.push(vec![1u8; 1 << 20]);
            }
        }
        "refused" => {
            // Asks for too much, copes, and goes on.
            let mut v: Vec<u8> = Vec::new();
            println!("{}", v.try_reserve_exact(1 << 30).is_err());
        }
        "trap" => panic!("asked to"),
        "files" => files::check(),
        "serve" => net::serve(rest[0], rest[1]),
        "dial" => net::dial(&rest),
        "udp-serve" => net::udp_serve(rest[0]),
        "udp-ask" => net::udp_ask(rest[0], rest[1]),
        other => panic!("{other}?"),
    }
}
