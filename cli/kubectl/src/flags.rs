//! Flags that several verbs share.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::manifest::FileFlags;
use crate::print::output::{FORMS, OutputFlags, Printer};
use crate::selection::{Info, Selection, fetch};
use crate::session::{PatchType, Session, with_query};

/// `--dry-run`
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DryRunFlag {
    /// none, server (the server checks, and keeps nothing) or client (nothing is sent).
    #[arg(long, global = true, default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client", hide_default_value = true, value_name = "WHERE")]
    pub dry_run: String,
}

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    /// It is made.
    None,
    /// The server checks it.
    Server,
    /// It is not sent.
    Client,
}

impl DryRunFlag {
    /// Reads the flag.
    pub fn read(&self) -> Result<DryRun> {
        match self.dry_run.as_str() {
            "none" => Ok(DryRun::None),
            "server" => Ok(DryRun::Server),
            "client" | "unchanged" => Ok(DryRun::Client),
            other => Err(Error::message(format!("Invalid dry-run value ({other}). Must be \"none\", \"server\", or \"client\"."))),
        }
    }
}

impl DryRun {
    /// `created (dry run)`
    pub fn said(self, operation: &str) -> String {
        match self {
            DryRun::None => operation.to_owned(),
            DryRun::Server => format!("{operation} (server dry run)"),
            DryRun::Client => format!("{operation} (dry run)"),
        }
    }

    /// The parameter of requests.
    pub fn parameter(self) -> &'static str {
        if self == DryRun::Server { "All" } else { "" }
    }
}

/// `--validate`
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ValidateFlag {
    /// strict (or true), warn, or ignore (or false): what the server makes of unknown and repeated fields.
    #[arg(long, global = true, default_value = "strict", num_args = 0..=1, require_equals = true, default_missing_value = "strict", hide_default_value = true, value_name = "HOW")]
    pub validate: String,
}

impl ValidateFlag {
    /// The parameter of requests.
    pub fn parameter(&self) -> Result<&'static str> {
        match self.validate.as_str() {
            "true" | "strict" => Ok("Strict"),
            "false" | "ignore" => Ok("Ignore"),
            "warn" => Ok("Warn"),
            other => Err(Error::message(format!("invalid - validate option {other:?}"))),
        }
    }
}

/// Prints what was done with an object: `pod/a created (dry run)`, or the object in the form of `-o`.
pub fn tell(printer: &mut Printer, object: &Value, operation: &str, dry_run: DryRun) -> Result<()> {
    crate::out(&printer.done(object, &dry_run.said(operation))?);
    Ok(())
}

/// The flags of verbs that make objects.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct MakeFlags {
    /// The form of what is printed.
    #[command(flatten)]
    pub output: OutputFlags,
    /// Whether it is done at all.
    #[command(flatten)]
    pub dry_run: DryRunFlag,
    /// How strictly fields are checked.
    #[command(flatten)]
    pub validate: ValidateFlag,
    /// Keep the configuration in an annotation, so that `apply` can go on from it.
    #[arg(long, global = true)]
    pub save_config: bool,
    /// Who is said to manage the fields.
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    pub field_manager: String,
}

impl MakeFlags {
    /// Creates an object in a collection, and says so. `manager` is the verb's own name for itself.
    pub async fn make(&self, session: &Session, path: &str, object: Value, manager: &str) -> Result<Value> {
        let made = self.create(session, path, object, manager).await?;
        let mut printer = self.output.printer(FORMS)?;
        tell(&mut printer, &made, "created", self.dry_run.read()?)?;
        Ok(made)
    }

    /// Creates an object in a collection.
    pub async fn create(&self, session: &Session, path: &str, object: Value, manager: &str) -> Result<Value> {
        let dry_run = self.dry_run.read()?;
        let object = if self.save_config { crate::merge::annotated(&object) } else { object };
        if dry_run == DryRun::Client {
            return Ok(object);
        }
        let manager = if self.field_manager.is_empty() { manager } else { &self.field_manager };
        let parameters = [("dryRun", dry_run.parameter()), ("fieldManager", manager), ("fieldValidation", self.validate.parameter()?)];
        session.post(&with_query(path, &parameters), &object).await
    }
}

/// What kubectl was told, for `--record` of old; taken and not used.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RecordFlag {
    /// Taken and not used.
    #[arg(long, hide = true)]
    pub record: bool,
}

/// The flags of verbs that change objects which are there.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ChangeFlags {
    /// Manifests of the objects.
    #[command(flatten)]
    pub files: FileFlags,
    /// The form of what is printed.
    #[command(flatten)]
    pub output: OutputFlags,
    /// Whether it is done at all.
    #[command(flatten)]
    pub dry_run: DryRunFlag,
    /// As it was.
    #[command(flatten)]
    pub record: RecordFlag,
    /// All objects of the types, in the namespace.
    #[arg(long)]
    pub all: bool,
    /// In all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Label selector.
    #[arg(long, short = 'l')]
    pub selector: Option<String>,
    /// Field selector.
    #[arg(long)]
    pub field_selector: Option<String>,
    /// Change the manifest that is read, and nothing at the server.
    #[arg(long)]
    pub local: bool,
    /// Who is said to manage the fields.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub field_manager: String,
}

impl ChangeFlags {
    /// The objects that words and flags mean.
    pub fn selection(&self, words: &[String]) -> Selection {
        Selection {
            words: words.to_vec(),
            files: self.files.clone(),
            selector: self.selector.clone(),
            field_selector: self.field_selector.clone(),
            all: self.all,
            all_namespaces: self.all_namespaces,
            ..Selection::default()
        }
    }

    /// Fetches the objects; those of manifests as they are, with `--local`.
    pub async fn fetch(&self, session: &Session, words: &[String]) -> Result<(Vec<Info>, Vec<Error>, bool)> {
        if self.all && self.selector.is_some() {
            return Err(Error::message("cannot set --all and --selector at the same time"));
        }
        fetch(session, &self.selection(words), self.local).await
    }

    /// Whether nothing is sent.
    pub fn stays_here(&self) -> Result<bool> {
        Ok(self.local || self.dry_run.read()? == DryRun::Client)
    }

    /// Sends a patch, unless nothing is to be sent: then it is applied here.
    pub async fn patch(&self, session: &Session, info: &Info, kind: PatchType, patch: &Value, manager: &str) -> Result<Value> {
        if self.stays_here()? {
            let mut object = info.object.clone();
            crate::merge::json::apply(&mut object, patch);
            return Ok(object);
        }
        let manager = if self.field_manager.is_empty() { manager } else { &self.field_manager };
        let path = with_query(&info.path(), &[("dryRun", self.dry_run.read()?.parameter()), ("fieldManager", manager)]);
        session.patch(&path, kind, patch).await
    }
}
