//! `v1` Event: something that happened to an object.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::core::v1::Event;
use crate::k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use crate::kind::{Kind, Names, Scope};
use crate::kinds::columns::{human_duration, name, name_cell, since, text as text_column};
use crate::kinds::names;
use crate::kinds::normal::text;
use crate::table::{Columns, Now};

/// Event of `v1`.
pub struct Events;

impl Kind for Events {
    type Object = Event;

    const NAMES: Names = names("event", &["ev"], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    fn validate(event: &Event) -> Errors {
        let (own, about) = (text(&event.metadata.namespace), text(&event.involved_object.namespace));
        let home = about.is_empty() && matches!(own, "" | "default" | "kube-system");
        if own == about || home {
            return Errors::new();
        }
        vec![Error::invalid(&Path::new("involvedObject.namespace"), about, "does not match event.namespace")]
    }

    fn columns() -> Columns<Event> {
        Columns {
            columns: vec![
                text_column("Last Seen", "The time at which the most recent occurrence of this event was recorded."),
                text_column("Type", "Type of this event (Normal, Warning), new types could be added in the future"),
                text_column("Reason", "This should be a short, machine understandable string that gives the reason for the transition into the object's current status."),
                text_column("Object", "The object that this event is about."),
                text_column("Subobject", "If referring to a piece of an object instead of an entire object, this string should contain a valid JSON/Go field access statement, such as desiredState.manifest.containers[2]. For example, if the object reference is to a container within a pod, this would take on a value like: \"spec.containers{name}\" (where \"name\" refers to the name of the container that triggered the event) or if no container name is specified \"spec.containers[2]\" (container with index 2 in this pod). This syntax is chosen only to have some well-defined way of referencing a part of an object.").wide(),
                text_column("Source", "The component reporting this event. Should be a short machine understandable string.").wide(),
                text_column("Message", "A human-readable description of the status of this operation."),
                text_column("First Seen", "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)").wide(),
                text_column("Count", "The number of times this event has occurred.").wide(),
                name().wide(),
            ],
            row,
        }
    }

    fn selectable_fields(event: &Event) -> Vec<(&'static str, String)> {
        let about = &event.involved_object;
        let own = |value: &Option<String>| text(value).to_owned();
        let source = event.source.as_ref().map(|s| text(&s.component)).filter(|c| !c.is_empty()).unwrap_or(text(&event.reporting_component));
        vec![
            ("involvedObject.kind", own(&about.kind)),
            ("involvedObject.namespace", own(&about.namespace)),
            ("involvedObject.name", own(&about.name)),
            ("involvedObject.uid", own(&about.uid)),
            ("involvedObject.apiVersion", own(&about.api_version)),
            ("involvedObject.resourceVersion", own(&about.resource_version)),
            ("involvedObject.fieldPath", own(&about.field_path)),
            ("reason", own(&event.reason)),
            ("reportingComponent", own(&event.reporting_component)),
            ("source", source.to_owned()),
            ("type", own(&event.type_)),
        ]
    }
}

fn row(event: &Event, now: Now) -> Vec<Value> {
    let micro = |time: Option<&MicroTime>| time.map_or_else(|| "<unknown>".to_owned(), |time| human_duration(now.0.as_second() - time.0.as_second()));
    let first = match &event.first_timestamp {
        Some(time) => since(Some(time), now),
        None => micro(event.event_time.as_ref()),
    };
    let (last, count) = match (&event.series, &event.last_timestamp) {
        (Some(series), _) => (micro(series.last_observed_time.as_ref()), series.count.unwrap_or(0)),
        (None, Some(time)) => (since(Some(time), now), event.count.unwrap_or(0)),
        (None, None) => (first.clone(), event.count.unwrap_or(0)),
    };
    let count = if count == 0 && event.series.is_none() { 1 } else { count };
    let about = &event.involved_object;
    let kind = text(&about.kind).to_lowercase();
    let target = if text(&about.name).is_empty() { kind } else { format!("{kind}/{}", text(&about.name)) };
    vec![
        Value::from(last),
        Value::from(text(&event.type_)),
        Value::from(text(&event.reason)),
        Value::from(target),
        Value::from(text(&about.field_path)),
        Value::from(source(event)),
        Value::from(text(&event.message).trim()),
        Value::from(first),
        Value::from(count),
        name_cell(&event.metadata),
    ]
}

/// Who tells it: `component, host`.
fn source(event: &Event) -> String {
    let first = |a: Option<&Option<String>>, b: &Option<String>| a.map(text).filter(|t| !t.is_empty()).unwrap_or(text(b)).to_owned();
    let component = first(event.source.as_ref().map(|s| &s.component), &event.reporting_component);
    let host = first(event.source.as_ref().map(|s| &s.host), &event.reporting_instance);
    if host.is_empty() { component } else { format!("{component}, {host}") }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_refused, check_row};

    #[test]
    fn prints_a_row() {
        check_row::<Events>(
            r#"
metadata: {name: e}
involvedObject: {kind: Pod, name: p, fieldPath: "spec.containers{c}"}
reason: BackOff
type: Warning
message: "again\n"
source: {component: kubelet, host: n}
firstTimestamp: 2026-01-01T00:00:00Z
lastTimestamp: 2026-01-01T00:14:00Z
count: 3
"#,
            &expect![[r#"
                Last Seen: 60s
                Type: Warning
                Reason: BackOff
                Object: pod/p
                Subobject: spec.containers{c}
                Source: kubelet, n
                Message: again
                First Seen: 15m
                Count: 3
                Name: e
            "#]],
        );
        check_row::<Events>(
            r#"
metadata: {name: e}
involvedObject: {kind: Node}
eventTime: 2026-01-01T00:10:00.000000Z
reportingComponent: default-scheduler
series: {count: 4, lastObservedTime: 2026-01-01T00:14:59.000000Z}
"#,
            &expect![[r#"
                Last Seen: 1s
                Type: 
                Reason: 
                Object: node
                Subobject: 
                Source: default-scheduler
                Message: 
                First Seen: 5m
                Count: 4
                Name: e
            "#]],
        );
    }

    #[test]
    fn an_event_lives_where_its_object_does() {
        check_refused::<Events>(
            r#"
metadata: {name: e, namespace: a}
involvedObject: {namespace: b}
"#,
            &expect![[r#"
                involvedObject.namespace: Invalid value: "b": does not match event.namespace
            "#]],
        );
        check_refused::<Events>(
            r#"
metadata: {name: e, namespace: default}
involvedObject: {kind: Node}
"#,
            &expect![[r#""#]],
        );
    }
}
