//! What a component can run as, and whether we offer all that it imports. Needs no compilation.

use std::fmt;

/// Which of the two engines a component runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// WASI 0.2: no concurrency support, faster.
    P2,
    /// WASI 0.3: component-model async.
    P3,
}

impl Flavor {
    /// Both, in order.
    pub const ALL: [Flavor; 2] = [Flavor::P2, Flavor::P3];

    /// `p2` or `p3`, as used in file names and on command lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Flavor::P2 => "p2",
            Flavor::P3 => "p3",
        }
    }
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Flavor {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "p2" => Ok(Flavor::P2),
            "p3" => Ok(Flavor::P3),
            _ => Err(format!("unknown flavor {s:?}: p2 or p3")),
        }
    }
}

/// An export that can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entry {
    /// `wasi:http/incoming-handler@0.2`
    HttpP2,
    /// `wasi:http/handler@0.3`
    HttpP3,
    /// `wasi:cli/run@0.2`
    CliP2,
    /// `wasi:cli/run@0.3`
    CliP3,
}

impl Entry {
    /// Serves requests (else: is a command).
    pub fn is_http(self) -> bool {
        matches!(self, Entry::HttpP2 | Entry::HttpP3)
    }

    /// The export's name without patch version.
    pub fn name(self) -> &'static str {
        match self {
            Entry::HttpP2 => "wasi:http/incoming-handler@0.2",
            Entry::HttpP3 => "wasi:http/handler@0.3",
            Entry::CliP2 => "wasi:cli/run@0.2",
            Entry::CliP3 => "wasi:cli/run@0.3",
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Entry {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        [Entry::HttpP2, Entry::HttpP3, Entry::CliP2, Entry::CliP3].into_iter().find(|e| e.name() == s).ok_or_else(|| format!("unknown entry {s:?}"))
    }
}

/// What a component's outside looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Names of the exports, as written.
    pub exports: Vec<String>,
    /// Names of the imports, as written.
    pub imports: Vec<String>,
    /// What can be run, http before cli, newer before older.
    pub entries: Vec<Entry>,
    /// The engine to compile for.
    pub flavor: Flavor,
}

impl Inspection {
    /// Chooses what runs: with several entries a given `command` or `args` (`explicit`) chooses cli, else http.
    pub fn choose(&self, explicit: bool) -> Result<Entry, InspectError> {
        let cli = self.entries.iter().find(|e| !e.is_http());
        let http = self.entries.iter().find(|e| e.is_http());
        let chosen = if explicit { cli.or(http) } else { http.or(cli) };
        chosen.copied().ok_or_else(|| InspectError::NothingToRun { exports: list(&self.exports) })
    }
}

/// Why a component cannot run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// Not a component (or a broken one).
    #[error("not a valid WebAssembly component: {0}")]
    Invalid(String),
    /// A core module: wrap it first.
    #[error("a core WebAssembly module, not a component")]
    CoreModule,
    /// None of the known entries is exported.
    #[error(
        "nothing to run: the component exports {exports}; one of wasi:http/incoming-handler@0.2, wasi:http/handler@0.3, wasi:cli/run@0.2, wasi:cli/run@0.3 is needed"
    )]
    NothingToRun {
        /// What is exported instead.
        exports: String,
    },
    /// Imports that we do not offer.
    #[error("unsupported imports: {}", .0.join("; "))]
    Imports(Vec<String>),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// Reads a component's imports and exports. Bounded by the input; compiles nothing. Does not refuse anything yet:
/// see [`crate::Engine::check`].
pub fn inspect(bytes: &[u8]) -> Result<Inspection, InspectError> {
    use wasmparser::{Encoding, Parser, Payload};
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0usize;
    let invalid = |e: wasmparser::BinaryReaderError| InspectError::Invalid(e.to_string());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding, .. } if depth == 0 && encoding != Encoding::Component => return Err(InspectError::CoreModule),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(s) if depth == 0 => {
                for i in s {
                    imports.push(i.map_err(invalid)?.name.name.to_string());
                }
            }
            Payload::ComponentExportSection(s) if depth == 0 => {
                for e in s {
                    exports.push(e.map_err(invalid)?.name.name.to_string());
                }
            }
            _ => {}
        }
    }
    let has = |interface: &str, minor: &str| exports.iter().any(|e| e.split_once('@').is_some_and(|(n, v)| n == interface && v.starts_with(minor)));
    let table = [
        (Entry::HttpP3, "wasi:http/handler", "0.3."),
        (Entry::HttpP2, "wasi:http/incoming-handler", "0.2."),
        (Entry::CliP3, "wasi:cli/run", "0.3."),
        (Entry::CliP2, "wasi:cli/run", "0.2."),
    ];
    let entries = table.into_iter().filter(|(_, n, v)| has(n, v)).map(|(e, ..)| e).collect();
    let p3 = imports.iter().chain(&exports).any(|n| n.starts_with("wasi:") && n.split_once('@').is_some_and(|(_, v)| v.starts_with("0.3.")));
    Ok(Inspection { exports, imports, entries, flavor: if p3 { Flavor::P3 } else { Flavor::P2 } })
}
