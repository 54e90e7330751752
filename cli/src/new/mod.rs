//! `wharf new`: the beginnings of a function, in one of five languages. What it writes are the examples of
//! `examples/functions`, by another name.

mod c;
mod go;
mod js;
mod python;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::say::Progress;

/// What `wharf new` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wharf new shop                          a function in Rust, in the folder shop
  wharf new --lang python greeter
  cd greeter && wharf deploy .")]
pub(crate) struct Arguments {
    /// The language.
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,
    /// The function's name, and the folder that is made for it: a DNS label.
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    Js,
    Python,
    Go,
    C,
}

/// A language's beginning.
struct Template {
    /// The name that stands for the function's.
    placeholder: &'static str,
    /// Path and text. The first is the one to change.
    files: &'static [(&'static str, &'static str)],
    /// Other words to replace.
    replace: &'static [(&'static str, &'static str)],
    /// What it takes to build it.
    needs: &'static str,
}

impl Language {
    fn template(self) -> Template {
        match self {
            Language::Rust => rust::TEMPLATE,
            Language::Js => js::TEMPLATE,
            Language::Python => python::TEMPLATE,
            Language::Go => go::TEMPLATE,
            Language::C => c::TEMPLATE,
        }
    }
}

/// The WIT of functions, for languages that begin with it.
const WIT: [(&str, &str); 7] = [
    ("wit/world.wit", include_str!("../../../sdk/wit/function/world.wit")),
    ("wit/deps/clocks.wit", include_str!("../../../sdk/wit/function/deps/clocks.wit")),
    ("wit/deps/config.wit", include_str!("../../../sdk/wit/function/deps/config.wit")),
    ("wit/deps/http.wit", include_str!("../../../sdk/wit/function/deps/http.wit")),
    ("wit/deps/io.wit", include_str!("../../../sdk/wit/function/deps/io.wit")),
    ("wit/deps/keyvalue.wit", include_str!("../../../sdk/wit/function/deps/keyvalue.wit")),
    ("wit/deps/logging.wit", include_str!("../../../sdk/wit/function/deps/logging.wit")),
];

/// Writes a function's beginning.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    check_name(&arguments.name)?;
    let template = arguments.lang.template();
    let folder = PathBuf::from(&arguments.name);
    write(&template, &arguments.name, &folder)?;
    let progress = Progress::new();
    progress.step(&format!("made       {}/, a function; its code is in {}", arguments.name, template.files[0].0));
    progress.step(&format!("it takes   {}", template.needs));
    progress.line(&format!("next:\n  cd {} && wharf deploy .", arguments.name));
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    // A package of Cargo or Go begins with a letter.
    if name.len() <= 63 && name.bytes().all(inner) && name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-') {
        return Ok(());
    }
    bail!("{name:?} cannot be a function's name: lower case letters, digits and '-', beginning with a letter, 63 at most")
}

fn write(template: &Template, name: &str, folder: &Path) -> Result<()> {
    if folder.exists() {
        bail!("{} is there already", folder.display());
    }
    for (path, text) in template.files {
        let mut text = text.replace(template.placeholder, name);
        for (from, to) in template.replace {
            text = text.replace(from, to);
        }
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_its_function_under_its_name() {
        for (language, first) in
            [(Language::Rust, "src/lib.rs"), (Language::Js, "app.js"), (Language::Python, "app.py"), (Language::Go, "main.go"), (Language::C, "main.c")]
        {
            let folder = tempfile::TempDir::new().unwrap();
            let at = folder.path().join("shop");
            let template = language.template();
            write(&template, "shop", &at).unwrap();
            assert_eq!(template.files[0].0, first);
            for (path, _) in template.files {
                let text = fs::read_to_string(at.join(path)).unwrap();
                assert!(!text.contains(template.placeholder) && !text.contains("../../.."), "{language:?}: {path}");
            }
            let project = ["wharf.toml", "Cargo.toml"].iter().any(|file| at.join(file).is_file_that_names("shop"));
            assert!(project, "{language:?}: nothing says how it is built");
            assert!(write(&template, "shop", &at).unwrap_err().to_string().ends_with("shop is there already"));
        }
    }

    trait Names {
        fn is_file_that_names(&self, name: &str) -> bool;
    }

    impl Names for PathBuf {
        fn is_file_that_names(&self, name: &str) -> bool {
            fs::read_to_string(self).is_ok_and(|text| text.contains(&format!("name = \"{name}\"")))
        }
    }

    /// Every file of the SDK is written, or what is made does not build.
    #[test]
    fn the_sdk_is_whole() {
        fn list(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { list(&path, found) } else { found.push(path) }
            }
        }
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/guest");
        let mut files = vec![];
        ["src", "wit", "macros/src"].iter().for_each(|part| list(&sdk.join(part), &mut files));
        files.extend(["Cargo.toml", "macros/Cargo.toml"].map(|file| sdk.join(file)));
        for file in files {
            let path = Path::new("wharf-sdk").join(file.strip_prefix(&sdk).unwrap());
            let written = rust::TEMPLATE.files.iter().find(|(p, _)| Path::new(p) == path);
            assert!(written.is_some(), "{} is not in the template", path.display());
        }
    }

    #[test]
    fn names() {
        for (name, good) in [("shop", true), ("a-1", true), ("1a", false), ("a-", false), ("Shop", false), ("a/b", false), ("..", false), ("", false)] {
            assert_eq!(check_name(name).is_ok(), good, "{name:?}");
        }
    }
}
