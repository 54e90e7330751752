//! The built-in image `busybox`: a POSIX shell and everyday commands in one component.
//!
//! What runs is told by `argv[0]` (`/bin/ls` is `ls`), or by the first argument after `busybox`. WASI has no processes:
//! each stage of a pipeline, each `$( )` and each `&` is a task of [`rt`], with pipes in memory ([`io`]). What a process
//! has of its own (arguments, environment, working directory, descriptors) is a [`Context`], never a global.
//!
//! | module | what it is |
//! |---|---|
//! | [`applets`] | the commands, one file each, and the table of their names: how to write one |
//! | [`container`] | what Wharf offers beyond WASI: signals, TLS |
//! | [`context`] | what an applet is given |
//! | [`io`], [`net`] | descriptors, pipes; sockets and names: all asynchronous |
//! | [`options`] | options and operands, as `getopt_long` does |
//! | [`rt`] | tasks over `wasi:io/poll` |
//! | [`shell`] | `sh` |
//! | [`signals`] | what the container is sent |

mod applets;
mod calendar;
mod container;
mod context;
mod disk;
mod io;
mod net;
mod options;
mod regex;
mod rt;
mod shell;
mod signals;

use context::Context;

fn main() {
    let code = rt::block_on(start());
    io::flush();
    if code != 0 {
        // std's exit makes 1 of every number.
        wasip2::cli::exit::exit_with_code(code as u8);
    }
}

async fn start() -> i32 {
    let cx = Context::initial();
    signals::watch();
    cx.run().await
}
