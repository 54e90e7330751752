//! `events`: what happened, oldest first; of everything, or of one object.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::out;
use crate::print::json::pretty_in_order;
use crate::print::output::{FORMS, Format, OutputFlags, Printer};
use crate::print::tabwriter::TabWriter;
use crate::print::{age, go};
use crate::session::{Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf events
  wharf events --for pod/web --watch
  wharf events -A --types=Warning
  wharf events --for deploy/shop -o yaml";

/// What `events` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(hide = true)]
    words: Vec<String>,
    #[command(flatten)]
    output: OutputFlags,
    /// Of all namespaces.
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Of one object: TYPE/NAME.
    #[arg(long = "for", default_value = "", hide_default_value = true, value_name = "TYPE/NAME")]
    of: String,
    /// Only these types, Normal or Warning.
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// Go on, with what happens.
    #[arg(long, short = 'w')]
    watch: bool,
    /// Without the titles of the columns.
    #[arg(long)]
    no_headers: bool,
    /// How many are asked for at once; 0 for all.
    #[arg(long, default_value = "500", hide_default_value = true)]
    chunk_size: i64,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let mut printer = arguments.output.printer(FORMS)?;
    if arguments.types.iter().any(|kind| !kind.eq_ignore_ascii_case("Normal") && !kind.eq_ignore_ascii_case("Warning")) {
        return Err(Error::message("valid --types are Normal or Warning"));
    }
    let fields = if arguments.of.is_empty() { String::new() } else { fields(session, &arguments.of).await? };
    let place = if arguments.all_namespaces { "/api/v1/events".into() } else { format!("/api/v1/namespaces/{}/events", session.namespace) };
    let path = with_query(&place, &[("fieldSelector", &fields)]);
    let wanted =
        |event: &Value| arguments.types.is_empty() || arguments.types.iter().any(|kind| event["type"].as_str().is_some_and(|is| is.eq_ignore_ascii_case(kind)));
    let mut table = Table { writer: TabWriter::table(), with_namespace: arguments.all_namespaces, header: !arguments.no_headers };
    if arguments.watch {
        let mut stream = session.watch(&path, "application/json").await?;
        while let Some((kind, mut event)) = stream.event().await? {
            if matches!(kind.as_str(), "ADDED" | "MODIFIED") && wanted(&event) {
                complete(&mut event);
                out(&match printer.format {
                    Format::Human => table.print(&[event], Timestamp::now()),
                    _ => print(&mut printer, &event)?,
                });
            }
        }
        return Ok(());
    }
    let chunk = u64::try_from(arguments.chunk_size).unwrap_or(0);
    let mut answer = crate::selection::list(session, &path, "application/json", chunk).await?;
    let mut events = answer.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    events.retain(wanted);
    if events.is_empty() {
        eprintln!("No events found{}.", if arguments.all_namespaces { String::new() } else { format!(" in {} namespace", session.namespace) });
        return Ok(());
    }
    events.sort_by_key(|event| last(event).and_then(|time| time.parse::<Timestamp>().ok()));
    events.iter_mut().for_each(complete);
    // `-o name` prints names: kubectl prints nothing for them here, which helps nobody.
    out(&match printer.format {
        Format::Human => table.print(&events, Timestamp::now()),
        _ => print(&mut printer, &json!({"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": events}))?,
    });
    Ok(())
}

/// The fields of Events that are about an object.
async fn fields(session: &Session, word: &str) -> Result<String> {
    let mut parts = word.split('/');
    let (kind, name) = match (parts.next(), parts.next(), parts.next()) {
        (_, _, Some(_)) => return Err(Error::message("arguments in resource/name form may not have more than one slash")),
        (Some(kind), Some(name), None) => (kind, name),
        _ => return Err(Error::message("--for must be in resource/name form")),
    };
    let resource = session.discovery().await?.find(kind).map_err(|error| match error {
        Error::Message(text) => Error::Plain(text),
        other => other,
    })?;
    Ok(format!("involvedObject.kind={},involvedObject.name={name}", resource.kind))
}

/// When it happened last.
fn last(event: &Value) -> Option<&str> {
    [&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"]].into_iter().find_map(Value::as_str)
}

/// What every Event has in kubectl's hands.
fn complete(event: &mut Value) {
    let Some(event) = event.as_object_mut() else { return };
    event.insert("kind".into(), "Event".into());
    event.insert("apiVersion".into(), "v1".into());
    for field in ["eventTime", "firstTimestamp", "lastTimestamp"] {
        event.entry(field).or_insert(Value::Null);
    }
    for field in ["reportingComponent", "reportingInstance"] {
        event.entry(field).or_insert_with(|| "".into());
    }
    for field in ["source", "involvedObject", "metadata"] {
        event.entry(field).or_insert_with(|| json!({}));
    }
}

fn print(printer: &mut Printer, object: &Value) -> Result<String> {
    if !matches!(printer.format, Format::Json) {
        return printer.print(object);
    }
    let mut object = object.clone();
    if !printer.shows_managed_fields() {
        crate::print::output::without_managed_fields(&mut object);
    }
    Ok(format!("{}\n", pretty_in_order(&object, &order)))
}

/// The order of an Event's fields in JSON.
fn order(parent: &str) -> &'static [&'static str] {
    match parent {
        "metadata" => &["name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"],
        "involvedObject" | "related" => &["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"],
        "" | "items" => &[
            "kind",
            "apiVersion",
            "metadata",
            "items",
            "involvedObject",
            "reason",
            "message",
            "source",
            "firstTimestamp",
            "lastTimestamp",
            "count",
            "type",
            "eventTime",
            "series",
            "action",
            "related",
        ],
        _ => &[],
    }
}

/// The table, whose title is printed once.
struct Table {
    writer: TabWriter,
    with_namespace: bool,
    header: bool,
}

impl Table {
    fn print(&mut self, events: &[Value], now: Timestamp) -> String {
        let mut text = String::new();
        if std::mem::replace(&mut self.header, false) {
            text.push_str(if self.with_namespace { "NAMESPACE\t" } else { "" });
            text.push_str("LAST SEEN\tTYPE\tREASON\tOBJECT\tMESSAGE\n");
        }
        for event in events {
            let field = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let about = &event["involvedObject"];
            if self.with_namespace {
                text.push_str(&format!("{}\t", field(&event["metadata"]["namespace"])));
            }
            text.push_str(&format!(
                "{}\t{}\t{}\t{}/{}\t{}\n",
                interval(event, now),
                field(&event["type"]),
                field(&event["reason"]),
                field(&about["kind"]),
                field(&about["name"]),
                field(&event["message"]).trim()
            ));
        }
        self.writer.format(&text)
    }
}

/// `5s (x3 over 2m)`
fn interval(event: &Value, now: Timestamp) -> String {
    let since = |time: &Value| time.as_str().map_or_else(|| "<unknown>".to_owned(), |time| age::since(time, now));
    let first = if event["firstTimestamp"].is_string() { since(&event["firstTimestamp"]) } else { since(&event["eventTime"]) };
    if event["series"].is_object() {
        return format!("{} (x{} over {first})", since(&event["series"]["lastObservedTime"]), go(&event["series"]["count"]));
    }
    if event["count"].as_i64().unwrap_or(0) > 1 {
        return format!("{} (x{} over {first})", since(&event["lastTimestamp"]), go(&event["count"]));
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_comes_once_and_counts_are_told() {
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        let event = |more: Value| {
            let mut event = json!({
                "metadata": {"namespace": "shop"}, "type": "Normal", "reason": "Pulled", "message": "it is here\n",
                "involvedObject": {"kind": "Pod", "name": "web"}, "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:09:55Z",
            });
            crate::merge::json::apply(&mut event, &more);
            event
        };
        let mut table = Table { writer: TabWriter::table(), with_namespace: true, header: true };
        let mut text = table.print(&[event(json!({})), event(json!({"count": 3}))], now);
        text.push_str(&table.print(
            &[event(json!({"firstTimestamp": null, "eventTime": "2026-01-01T00:08:00Z", "series": {"count": 2, "lastObservedTime": "2026-01-01T00:09:00Z"}}))],
            now,
        ));
        expect_test::expect![[r#"
            NAMESPACE   LAST SEEN          TYPE     REASON   OBJECT    MESSAGE
            shop        10m                Normal   Pulled   Pod/web   it is here
            shop        5s (x3 over 10m)   Normal   Pulled   Pod/web   it is here
            shop        60s (x2 over 2m)   Normal   Pulled   Pod/web   it is here
        "#]]
        .assert_eq(&text);
    }
}
