//! `get`: tables, as the server makes them, or objects in the form that `-o` names.

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::manifest::FileFlags;
use crate::out;
use crate::print::output::{Format, GET_FORMS, OutputFlags, Printer};
use crate::print::{sort, table};
use crate::selection::{Selection, Target, Targets, items_of, list};
use crate::session::{Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf get pods
  wharf get deploy,rs,pods -o wide
  wharf get pod web -o jsonpath='{.status.podIP}'
  wharf get pods -A -l app=web --sort-by=.metadata.creationTimestamp
  wharf get pods --watch
  wharf get -f pod.yaml -o yaml";

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

/// What `get` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// TYPE[.VERSION][.GROUP] [NAME …], or TYPE/NAME …
    words: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    output: OutputFlags,
    /// List the objects of all namespaces.
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Label selector, such as key1=value1,key2!=value2 or key in (a,b).
    #[arg(long, short = 'l')]
    selector: Option<String>,
    /// Field selector, such as status.phase=Running.
    #[arg(long)]
    field_selector: Option<String>,
    /// After listing, watch for changes.
    #[arg(long, short = 'w')]
    watch: bool,
    /// Watch for changes without listing first.
    #[arg(long)]
    watch_only: bool,
    /// With --watch, print the kind of each event.
    #[arg(long)]
    output_watch_events: bool,
    /// Sort by a JSONPath expression, such as .metadata.name.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "PATH")]
    sort_by: String,
    /// Labels to show as columns of their own.
    #[arg(long, short = 'L', value_delimiter = ',')]
    label_columns: Vec<String>,
    /// Show all labels as the last column.
    #[arg(long)]
    show_labels: bool,
    /// Show the kind before each name.
    #[arg(long)]
    show_kind: bool,
    /// Leave out the header.
    #[arg(long)]
    no_headers: bool,
    /// It is no error that an object is not there.
    #[arg(long)]
    ignore_not_found: bool,
    /// How many objects to ask for at once; 0 is all of them.
    #[arg(long, default_value_t = 500)]
    chunk_size: u64,
    /// A path to ask the server for, as it stands.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "PATH")]
    raw: String,
    /// Have the server make the table.
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true)]
    server_print: bool,
    /// Show this subresource, such as status or scale.
    #[arg(long, default_value = "", hide_default_value = true)]
    subresource: String,
}

impl Arguments {
    fn selection(&self) -> Selection {
        Selection {
            words: self.words.clone(),
            files: self.files.clone(),
            selector: self.selector.clone(),
            field_selector: self.field_selector.clone(),
            all_namespaces: self.all_namespaces,
            type_alone: true,
            single_type: self.watch || self.watch_only,
            subresource: self.subresource.clone(),
            ..Selection::default()
        }
    }

    fn options(&self, wide: bool) -> table::Options {
        table::Options {
            wide,
            no_headers: self.no_headers,
            show_labels: self.show_labels,
            label_columns: self.label_columns.clone(),
            with_namespace: self.all_namespaces,
            kind: None,
        }
    }

    fn check(&self) -> Result<()> {
        let output = &self.output.output;
        if self.show_labels && !matches!(output.as_str(), "" | "wide") {
            return Err(Error::message(format!("--show-labels option cannot be used with {output} printer")));
        }
        if !self.label_columns.is_empty() && output.starts_with("custom-columns") {
            return Err(Error::message(format!("--label-columns option cannot be used with {output} printer")));
        }
        if self.output_watch_events && !(self.watch || self.watch_only) {
            return Err(Error::message("--output-watch-events option can only be used with --watch or --watch-only"));
        }
        if self.words.is_empty() && self.files.is_empty() && !self.watch && !self.watch_only {
            eprint!("You must specify the type of resource to get. Use \"wharf api-resources\" for a complete list of supported resources.\n\n");
            return Err(Error::Usage(
                "Required resource not specified.\nUse \"wharf explain <resource>\" for a detailed description of that resource (e.g. wharf explain pods)."
                    .into(),
            ));
        }
        Ok(())
    }
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    if !arguments.raw.is_empty() {
        return raw(session, &arguments).await;
    }
    arguments.check()?;
    let printer = arguments.output.printer_with(GET_FORMS, arguments.no_headers)?;
    if arguments.watch || arguments.watch_only {
        return super::get_watch::run(session, &arguments, printer).await;
    }
    let targets = match arguments.selection().targets(session).await {
        Err(error) if error.is_not_found() && arguments.ignore_not_found => return Ok(()),
        other => other?,
    };
    if printer.is_human() {
        tables(session, &arguments, targets, matches!(printer.format, Format::Wide)).await
    } else {
        objects(session, &arguments, targets, printer).await
    }
}

async fn raw(session: &Session, arguments: &Arguments) -> Result<()> {
    if !arguments.words.is_empty() {
        return Err(Error::message("arguments may not be passed when --raw is specified"));
    }
    if arguments.watch || arguments.watch_only || arguments.selector.is_some() {
        return Err(Error::message("--raw may not be specified with other flags that filter the server request or alter the output"));
    }
    if !arguments.output.output.is_empty() {
        return Err(Error::message("--raw and --output are mutually exclusive"));
    }
    let mut lines = session.lines(&arguments.raw, "application/json, */*").await?;
    while let Some(chunk) = lines.chunk().await? {
        out(&String::from_utf8_lossy(&chunk));
    }
    Ok(())
}

/// One table for each kind.
async fn tables(session: &Session, arguments: &Arguments, targets: Targets, wide: bool) -> Result<()> {
    let Targets { targets, mut errors, .. } = targets;
    let chunk = if arguments.sort_by.is_empty() { arguments.chunk_size } else { 0 };
    let mut answers = Vec::new();
    for target in &targets {
        let mut path = target.path(&arguments.subresource);
        if !arguments.sort_by.is_empty() {
            path = with_query(&path, &[("includeObject", "Object")]);
        }
        let accept = if arguments.server_print { TABLE } else { "application/json" };
        let answer = match target {
            Target::Object { .. } => session.get_as(&path, accept).await,
            Target::List { .. } => list(session, &path, accept, chunk).await,
        };
        match answer {
            Ok(answer) => answers.push((target, as_table(answer, target))),
            Err(error) if error.is_not_found() && arguments.ignore_not_found => {}
            Err(error) => errors.push(error),
        }
    }
    let many = answers.iter().any(|(target, _)| target.resource() != answers[0].0.resource());
    if !arguments.sort_by.is_empty() {
        for (_, table) in &mut answers {
            sort::rows(table, &arguments.sort_by).map_err(Error::message)?;
        }
    }
    let mut written = false;
    let mut all_namespaced = !arguments.all_namespaces;
    let mut printer: Option<(&Target, table::TablePrinter)> = None;
    for (target, answer) in &answers {
        let resource = target.resource();
        all_namespaced = all_namespaced && resource.namespaced;
        let fresh = printer.as_ref().is_none_or(|(last, _)| last.resource() != resource);
        let separate = fresh && printer.is_some() && written && !arguments.no_headers;
        if fresh {
            let mut options = arguments.options(wide);
            options.with_namespace = options.with_namespace && resource.namespaced;
            options.kind = (many || arguments.show_kind).then(|| resource.kind_name());
            printer = Some((target, table::TablePrinter::new(options)));
        }
        if let Some((_, printer)) = &mut printer {
            let text = printer.print(answer, None);
            if separate && !text.is_empty() {
                out("\n");
            }
            written |= !text.is_empty();
            out(&text);
        }
    }
    if !written && !arguments.ignore_not_found && errors.is_empty() {
        if all_namespaced {
            eprintln!("No resources found in {} namespace.", session.namespace);
        } else {
            eprintln!("No resources found");
        }
    }
    Error::all(errors)
}

/// A server that makes no tables answers with objects.
pub(super) fn as_table(answer: Value, target: &Target) -> Value {
    if answer["kind"] == "Table" {
        return answer;
    }
    let mut answer = answer;
    let objects = match target {
        Target::List { resource, .. } => items_of(&mut answer, resource),
        Target::Object { .. } => vec![answer],
    };
    table::fallback(&objects, jiff::Timestamp::now())
}

/// Objects, in another form than a table.
async fn objects(session: &Session, arguments: &Arguments, targets: Targets, mut printer: Printer) -> Result<()> {
    let Targets { targets, single, mut errors } = targets;
    let mut found: Vec<Value> = Vec::new();
    let mut resource_version = None;
    let lists = targets.iter().filter(|target| matches!(target, Target::List { .. })).count();
    for target in &targets {
        let path = target.path(&arguments.subresource);
        let answer = match target {
            Target::Object { .. } => session.get(&path).await,
            Target::List { .. } => list(session, &path, "application/json", arguments.chunk_size).await,
        };
        match answer {
            Ok(mut answer) => match target {
                Target::Object { .. } => found.push(answer),
                Target::List { resource, .. } => {
                    resource_version = answer["metadata"]["resourceVersion"].as_str().map(str::to_owned);
                    found.extend(items_of(&mut answer, resource));
                }
            },
            Err(error) if error.is_not_found() && arguments.ignore_not_found => {}
            Err(error) if single => return Err(error),
            Err(error) => errors.push(error),
        }
    }
    let _ = (resource_version, lists);
    if found.is_empty() && arguments.ignore_not_found {
        return Error::all(errors);
    }
    let object = match found.len() {
        1 if single => found.swap_remove(0),
        _ => {
            if !arguments.sort_by.is_empty() {
                sort::objects(&mut found, &arguments.sort_by).map_err(Error::message)?;
            }
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": found})
        }
    };
    match printer.print(&object) {
        Ok(text) => out(&text),
        Err(error) => errors.push(error),
    }
    Error::all(errors)
}

/// What a watch needs of the flags.
impl Arguments {
    pub(super) fn watched(&self) -> (Selection, bool, bool, bool) {
        (self.selection(), self.watch_only, self.output_watch_events, self.ignore_not_found)
    }

    pub(super) fn table_options(&self, wide: bool) -> table::Options {
        self.options(wide)
    }

    pub(super) fn chunk(&self) -> u64 {
        self.chunk_size
    }

    pub(super) fn warn_of_sorting(&self) {
        if !self.sort_by.is_empty() {
            let what = if self.watch {
                "--watch requested, --sort-by will be ignored for watch events received"
            } else {
                "--watch-only requested, --sort-by will be ignored"
            };
            eprintln!("warning: {what}");
        }
    }

    pub(super) const TABLE: &'static str = TABLE;
}
