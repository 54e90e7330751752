//! The `wharf` program, built once more beside its tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    wharf_cli::main()
}
