//! `get --watch`: what is there, and then what happens.

use serde_json::{Value, json};

use super::get::{Arguments, as_table};
use crate::error::{Error, Result};
use crate::out;
use crate::print::output::{Format, Printer};
use crate::print::table::TablePrinter;
use crate::selection::{Target, items_of, list};
use crate::session::{Session, with_query};

/// Prints objects in the form that was asked for.
enum Form {
    Table(TablePrinter),
    Objects(Printer),
}

impl Form {
    fn print(&mut self, object: &Value, event: Option<&str>) -> Result<()> {
        match self {
            Form::Table(printer) => out(&printer.print(object, event)),
            Form::Objects(printer) => match event {
                Some(kind) => out(&printer.print(&json!({"type": kind, "object": object}))?),
                None => out(&printer.print(object)?),
            },
        }
        Ok(())
    }
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: &Arguments, printer: Printer) -> Result<()> {
    arguments.warn_of_sorting();
    let (selection, only, events, ignore_not_found) = arguments.watched();
    let targets = selection.targets(session).await?;
    Error::all(targets.errors)?;
    let [target] = targets.targets.as_slice() else { return Err(Error::message("you may only specify a single resource type")) };
    let human = printer.is_human();
    let accept = if human { Arguments::TABLE } else { "application/json" };
    let answer = match target {
        Target::Object { .. } => session.get_as(&target.path(""), accept).await,
        Target::List { .. } => list(session, &target.path(""), accept, arguments.chunk()).await,
    };
    let mut answer = match answer {
        Err(error) if error.is_not_found() && ignore_not_found => return Ok(()),
        other => other?,
    };
    let single = matches!(target, Target::Object { .. });
    // Of a single object the watch tells its present state first.
    let version = if single { "0".to_owned() } else { answer["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned() };
    let mut form = if human {
        let mut options = arguments.table_options(matches!(printer.format, Format::Wide));
        options.with_namespace = options.with_namespace && target.resource().namespaced;
        Form::Table(TablePrinter::new(options))
    } else {
        Form::Objects(printer)
    };
    let event = |kind: &str| events.then(|| kind.to_owned());
    if !only {
        if human {
            form.print(&as_table(answer, target), event("ADDED").as_deref())?;
        } else if single {
            form.print(&answer, event("ADDED").as_deref())?;
        } else {
            for item in items_of(&mut answer, target.resource()) {
                form.print(&item, event("ADDED").as_deref())?;
            }
        }
    }
    watch(session, target, accept, version, single, &mut form, events).await
}

async fn watch(session: &Session, target: &Target, accept: &str, version: String, single: bool, form: &mut Form, events: bool) -> Result<()> {
    let path = match target {
        Target::Object { resource, namespace, name, .. } => {
            with_query(&resource.path(namespace.as_deref()), &[("fieldSelector", &format!("metadata.name={name}"))])
        }
        Target::List { .. } => target.path(""),
    };
    let mut stream = session.watch(&with_query(&path, &[("resourceVersion", &version)]), accept).await?;
    let mut shown = !single;
    while let Some((kind, object)) = stream.event().await? {
        if kind == "BOOKMARK" {
            continue;
        }
        if std::mem::replace(&mut shown, true) {
            let object = if matches!(form, Form::Table(_)) { as_table(object, &one(target)) } else { object };
            form.print(&object, events.then_some(kind.as_str()))?;
        }
    }
    Ok(())
}

/// An event is about one object, also in a watch of many.
fn one(target: &Target) -> Target {
    Target::Object { resource: target.resource().clone(), namespace: None, name: String::new(), local: None, source: String::new() }
}
