//! Command lines as kubectl reads them: flags anywhere, the last of two wins, `--flag=false`, and errors in its words.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::client::Connection;

/// Gives the verbs among a program's subcommands kubectl's manners: a switch may have a value (`--all=false`), and of
/// a flag given twice the last counts.
pub fn adapt(command: clap::Command) -> clap::Command {
    let verbs = verbs();
    command.mut_subcommands(|subcommand| if verbs.find_subcommand(subcommand.get_name()).is_some() { with_manners(subcommand) } else { subcommand })
}

/// Whether a subcommand is one of the verbs here, or none that the program has: what is wrong with it is said in kubectl's words.
pub fn is_ours(program: &clap::Command, name: Option<&OsString>) -> bool {
    let Some(name) = name.and_then(|name| name.to_str()) else { return false };
    verbs().find_subcommand(name).is_some() || program.find_subcommand(name).is_none()
}

fn verbs() -> clap::Command {
    <crate::Verb as clap::Subcommand>::augment_subcommands(clap::Command::new("verbs")).subcommand(clap::Command::new("completion"))
}

fn with_manners(command: clap::Command) -> clap::Command {
    command
        .args_override_self(true)
        .disable_version_flag(true)
        .mut_args(|argument| {
            if matches!(argument.get_action(), clap::ArgAction::SetTrue) {
                argument
                    .action(clap::ArgAction::Set)
                    .value_parser(clap::builder::BoolishValueParser::new())
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .default_value("false")
                    .hide_default_value(true)
                    .hide_possible_values(true)
                    .value_name("BOOL")
            } else {
                argument
            }
        })
        .mut_subcommands(with_manners)
}

/// Verbs that have verbs of their own.
pub(crate) const NESTED: &[&str] = &["rollout", "create", "set", "config", "auth", "top", "cluster-info", "certificate", "apply", "secret", "service"];

/// Moves flags of the connection that stand before the verb (`-n x get pods`) behind it.
pub fn arrange(arguments: Vec<OsString>) -> Vec<OsString> {
    let known = <Connection as clap::Args>::augment_args(clap::Command::new("connection"));
    let (mut moved, mut at) = (Vec::new(), 1);
    while let Some(text) = arguments.get(at).and_then(|argument| argument.to_str()) {
        let Some(flag) = text.strip_prefix('-').filter(|flag| !flag.is_empty()) else { break };
        let found = match flag.strip_prefix('-') {
            Some(long) => {
                let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
                known.get_arguments().find(|a| a.get_long() == Some(name)).map(|a| (a, value.is_some()))
            }
            None => known.get_arguments().find(|a| a.get_short() == flag.chars().next()).map(|a| (a, flag.chars().count() > 1)),
        };
        let Some((argument, has_value)) = found else { break };
        moved.push(arguments[at].clone());
        at += 1;
        if !has_value && argument.get_action().takes_values() && !argument.is_require_equals_set() {
            moved.extend(arguments.get(at).cloned());
            at += 1;
        }
    }
    if moved.is_empty() || at >= arguments.len() {
        return arguments;
    }
    let mut all: Vec<OsString> = vec![arguments[0].clone(), arguments[at].clone()];
    at += 1;
    // Behind all words of the verb: `config view`.
    while let Some(next) = arguments.get(at).filter(|next| !next.to_string_lossy().starts_with('-'))
        && all.last().and_then(|word| word.to_str()).is_some_and(|word| NESTED.contains(&word))
    {
        all.push(next.clone());
        at += 1;
    }
    all.extend(moved);
    all.extend(arguments[at..].iter().cloned());
    all
}

/// What is wrong with a command line, in kubectl's words; None for what is no error (help).
pub fn wrong(error: &clap::Error, arguments: &[OsString], command: &str) -> Option<String> {
    let text = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.first().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    let flag = text(ContextKind::InvalidArg);
    let name = flag.split([' ', '=']).next().unwrap_or_default().to_owned();
    let help = format!("\nSee '{command} --help' for usage.\n");
    Some(match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return None,
        ErrorKind::UnknownArgument if name.starts_with("--") => format!("error: unknown flag: {name}{help}"),
        ErrorKind::UnknownArgument if name.starts_with('-') => {
            let letter = name.chars().nth(1).unwrap_or('?');
            let whole = arguments.iter().filter_map(|a| a.to_str()).find(|a| a.starts_with('-') && !a.starts_with("--") && a.contains(letter)).unwrap_or(&name);
            format!("error: unknown shorthand flag: '{letter}' in {whole}{help}")
        }
        ErrorKind::UnknownArgument => format!("error: unexpected arguments: [{name}]\nSee '{command} -h' for help and examples\n"),
        ErrorKind::InvalidValue if text(ContextKind::InvalidValue).is_empty() => {
            let needs = match name.strip_prefix("--") {
                Some(_) => format!("flag needs an argument: {name}"),
                None => format!("flag needs an argument: '{}' in {name}", name.trim_start_matches('-')),
            };
            format!("error: {needs}{help}")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = text(ContextKind::InvalidValue);
            format!("error: invalid argument {value:?} for {name:?} flag: {}{help}", parse_error(&value))
        }
        ErrorKind::InvalidSubcommand => {
            let unknown = text(ContextKind::InvalidSubcommand);
            // Of a verb's own verbs none is suggested.
            if let Some(verb) = command.strip_suffix(&format!(" {unknown}")).filter(|verb| verb.contains(' ')) {
                return Some(format!("error: unknown command {unknown:?}\nSee '{verb} -h' for help and examples\n"));
            }
            let mut said = format!("error: unknown command {unknown:?} for {command:?}\n");
            if let Some(ContextValue::Strings(near)) = error.get(ContextKind::SuggestedSubcommand)
                && !near.is_empty()
            {
                said.push_str("\nDid you mean this?\n");
                near.iter().for_each(|near| said.push_str(&format!("\t{near}\n")));
            }
            said
        }
        _ => format!("error: {}\n", error.render().to_string().trim_start_matches("error: ").trim_end()),
    })
}

fn parse_error(value: &str) -> String {
    format!("strconv.ParseInt: parsing {value:?}: invalid syntax")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn flags_before_the_verb_are_its() {
        assert_eq!(arrange(words("wharf -n x get pods")), words("wharf get -n x pods"));
        assert_eq!(arrange(words("wharf --context=a -nx get pods")), words("wharf get --context=a -nx pods"));
        assert_eq!(arrange(words("wharf --insecure-skip-tls-verify get pods")), words("wharf get --insecure-skip-tls-verify pods"));
        assert_eq!(arrange(words("wharf -n x config view --raw")), words("wharf config view -n x --raw"));
        assert_eq!(arrange(words("wharf -n x create secret generic a")), words("wharf create secret generic -n x a"));
        assert_eq!(arrange(words("wharf --version")), words("wharf --version"));
        assert_eq!(arrange(words("wharf get -n x")), words("wharf get -n x"));
    }

    #[test]
    fn wrong_lines_are_told_in_kubectls_words() {
        let root = || adapt(<crate::Verb as clap::Subcommand>::augment_subcommands(clap::Command::new("wharf").subcommand_required(true)));
        let check = |line: &str, expected: &str| {
            let error = root().try_get_matches_from(words(line)).unwrap_err();
            let line = words(line);
            assert_eq!(wrong(&error, &line, "wharf get").unwrap(), expected);
        };
        check("wharf get --nonsense", "error: unknown flag: --nonsense\nSee 'wharf get --help' for usage.\n");
        check("wharf get pods -zA", "error: unknown shorthand flag: 'z' in -zA\nSee 'wharf get --help' for usage.\n");
        check("wharf get --selector", "error: flag needs an argument: --selector\nSee 'wharf get --help' for usage.\n");
        check(
            "wharf get --chunk-size=x",
            "error: invalid argument \"x\" for \"--chunk-size\" flag: strconv.ParseInt: parsing \"x\": invalid syntax\nSee 'wharf get --help' for usage.\n",
        );
        let error = root().try_get_matches_from(words("wharf config nope")).unwrap_err();
        assert_eq!(
            wrong(&error, &words("wharf config nope"), "wharf config nope").unwrap(),
            "error: unknown command \"nope\"\nSee 'wharf config -h' for help and examples\n"
        );
        assert!(root().try_get_matches_from(words("wharf get pods -A --all-namespaces=false -n a -n b -o=wide --watch=true")).is_ok());
    }

    #[test]
    fn the_command_is_well_formed() {
        let mut root = adapt(<crate::Verb as clap::Subcommand>::augment_subcommands(clap::Command::new("wharf")));
        root.build();
        root.debug_assert();
    }
}
