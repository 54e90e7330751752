//! `events.k8s.io/v1` Event: the newer form of what happened; stored as the core kind.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::events::v1::Event;
use crate::kind::{Kind, Names, Scope, Stored};
use crate::kinds::event::Events;
use crate::kinds::names;
use crate::kinds::normal::text;
use crate::table::Columns;

/// Event of `events.k8s.io/v1`.
pub struct EventsEvents;

impl Kind for EventsEvents {
    type Object = Event;

    const NAMES: Names = names("event", &["ev"], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const STORED_AS: Option<Stored> = Some(Stored { group: "", version: "v1", to: to_core, from: from_core });
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    fn validate(event: &Event) -> Errors {
        let mut errors = Errors::new();
        if event.event_time.is_none() {
            errors.push(Error::required(&Path::new("eventTime"), ""));
        }
        for (value, field) in [
            (&event.reporting_controller, "reportingController"),
            (&event.reporting_instance, "reportingInstance"),
            (&event.action, "action"),
            (&event.reason, "reason"),
        ] {
            if text(value).is_empty() {
                errors.push(Error::required(&Path::new(field), ""));
            }
        }
        for (value, field, most) in [
            (&event.reporting_instance, "reportingInstance", 128),
            (&event.action, "action", 128),
            (&event.reason, "reason", 128),
            (&event.note, "message", 1024),
        ] {
            if text(value).len() > most {
                errors.push(Error::invalid(&Path::new(field), "", format!("can have at most {most} characters")));
            }
        }
        if !matches!(text(&event.type_), "Normal" | "Warning") {
            errors.push(Error::invalid(&Path::new("type"), "", "has invalid value: "));
        }
        errors
    }

    fn validate_update(_new: &Event, _old: &Event) -> Errors {
        Errors::new()
    }

    fn columns() -> Columns<Event> {
        Columns { columns: Events::columns().columns, row: |event, now| as_core(event).map_or_else(Vec::new, |core| (Events::columns().row)(&core, now)) }
    }

    fn selectable_fields(event: &Event) -> Vec<(&'static str, String)> {
        let Some(core) = as_core(event) else { return Vec::new() };
        let renamed = |field| match field {
            "involvedObject.kind" => "regarding.kind",
            "involvedObject.namespace" => "regarding.namespace",
            "involvedObject.name" => "regarding.name",
            "involvedObject.uid" => "regarding.uid",
            "involvedObject.apiVersion" => "regarding.apiVersion",
            "involvedObject.resourceVersion" => "regarding.resourceVersion",
            "involvedObject.fieldPath" => "regarding.fieldPath",
            "reportingComponent" => "reportingController",
            other => other,
        };
        Events::selectable_fields(&core).into_iter().map(|(field, value)| (renamed(field), value)).collect()
    }
}

/// Fields that only have another name: here, and in the core kind.
const RENAMED: &[(&str, &str)] = &[
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

fn to_core(mut event: Value) -> Value {
    if let Some(object) = event.as_object_mut() {
        for (here, core) in RENAMED {
            if let Some(value) = object.remove(*here) {
                object.insert((*core).to_owned(), value);
            }
        }
        object.insert("apiVersion".to_owned(), Value::from("v1"));
    }
    event
}

fn from_core(mut event: Value) -> Value {
    if let Some(object) = event.as_object_mut() {
        for (here, core) in RENAMED {
            if let Some(value) = object.remove(*core) {
                object.insert((*here).to_owned(), value);
            }
        }
        object.insert("apiVersion".to_owned(), Value::from("events.k8s.io/v1"));
    }
    event
}

fn as_core(event: &Event) -> Option<crate::k8s_openapi::api::core::v1::Event> {
    serde_json::from_value(to_core(serde_json::to_value(event).ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::check_refused;

    #[test]
    fn is_stored_as_the_core_kind() {
        let event: Event = serde_yaml::from_str("{metadata: {name: e}, note: n, regarding: {kind: Pod, name: p}, reportingController: c, deprecatedCount: 2, eventTime: 2026-01-01T00:00:00.000000Z}").unwrap();
        let stored = to_core(serde_json::to_value(&event).unwrap());
        let core: crate::k8s_openapi::api::core::v1::Event = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!((core.message.as_deref(), core.involved_object.name.as_deref(), core.count), (Some("n"), Some("p"), Some(2)));
        assert_eq!(serde_json::from_value::<Event>(from_core(stored)).unwrap(), event);
        assert!(EventsEvents::selectable_fields(&event).contains(&("regarding.name", "p".to_owned())));
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<EventsEvents>(
            r#"
metadata: {name: e}
type: Normal
reason: R
"#,
            &expect![[r#"
                eventTime: Required value
                reportingController: Required value
                reportingInstance: Required value
                action: Required value
            "#]],
        );
    }
}
