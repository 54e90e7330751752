//! `completion`: the script with which a shell completes the program's commands and flags. The program hands in its
//! whole command, which has more than the verbs of this crate.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap_complete::Shell;

use crate::client::Connection;

/// What stands below the flags of `completion --help`.
pub const EXAMPLES: &str = "Examples:
  source <(wharf completion bash)
  wharf completion zsh > \"${fpath[1]}/_wharf\"
  wharf completion fish > ~/.config/fish/completions/wharf.fish
  wharf completion powershell | Out-String | Invoke-Expression";

/// What `completion` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// bash, zsh, fish or powershell
    words: Vec<String>,
    // Taken as by every verb, and not used: nothing is asked.
    #[command(flatten)]
    _connection: Connection,
}

/// Prints the script. `program` is how the user called it, and what the shell will complete.
pub fn run(arguments: &Arguments, mut command: clap::Command, program: Option<&OsString>) -> ExitCode {
    match shell(&arguments.words) {
        Ok(shell) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, name(program), &mut script);
            crate::out_bytes(&script);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let (text, code) = error.told("wharf completion");
            eprint!("{text}");
            ExitCode::from(code)
        }
    }
}

fn shell(words: &[String]) -> crate::Result<Shell> {
    let usage = |text: String| Err(crate::Error::Usage(text));
    match words {
        [] => usage("Shell not specified.".into()),
        [word] => match word.as_str() {
            "bash" => Ok(Shell::Bash),
            "zsh" => Ok(Shell::Zsh),
            "fish" => Ok(Shell::Fish),
            "powershell" => Ok(Shell::PowerShell),
            other => usage(format!("Unsupported shell type {other:?}.")),
        },
        _ => usage("Too many arguments. Expected only the shell type.".into()),
    }
}

/// The name of a program by its path. A script cannot have any name in it.
fn name(program: Option<&OsString>) -> String {
    let name = program.and_then(|program| Path::new(program).file_name()?.to_str());
    let plain = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    name.filter(plain).unwrap_or("wharf").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_named() {
        let said = |words: &[&str]| shell(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()).map_err(|error| error.text());
        assert_eq!(said(&["fish"]), Ok(Shell::Fish));
        assert_eq!(said(&[]), Err("Shell not specified.".into()));
        assert_eq!(said(&["tcsh"]), Err("Unsupported shell type \"tcsh\".".into()));
        assert_eq!(said(&["bash", "zsh"]), Err("Too many arguments. Expected only the shell type.".into()));
    }

    #[test]
    fn the_name_is_that_of_the_call() {
        for (program, called) in [("/usr/local/bin/wharf", "wharf"), ("./w2", "w2"), ("/x/$(evil)", "wharf"), ("..", "wharf")] {
            assert_eq!(name(Some(&program.into())), called, "{program}");
        }
    }

    #[test]
    fn scripts_know_verbs_and_flags() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let mut command = <crate::Verb as clap::Subcommand>::augment_subcommands(clap::Command::new("wharf"));
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "w2", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["w2", "rollout", "port-forward", "set-context", "field-selector"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
