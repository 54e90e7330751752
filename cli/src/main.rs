//! `wharf`: Kubernetes for WebAssembly in one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    wharf_cli::main()
}
