//! `metadata.managedFields`: the managers of an object and the fields that each owns.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, Time};
use serde_json::Value;

use super::Writer;
use super::set::Set;
use crate::field::quoted;

/// At most so many managers that update are told apart.
const MAX_UPDATERS: usize = 10;

/// Who is meant by an entry. Appliers are one whatever the version they apply in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    name: String,
    operation: &'static str,
    /// Empty for appliers.
    version: String,
    subresource: String,
}

#[derive(Clone, Debug)]
struct Owned {
    fields: Set,
    api_version: String,
    time: Option<Time>,
}

/// All managers of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Managers(BTreeMap<Manager, Owned>);

impl Manager {
    pub(super) fn applier(writer: &Writer) -> Manager {
        Manager { name: writer.manager.to_owned(), operation: "Apply", version: String::new(), subresource: writer.subresource.to_owned() }
    }

    fn updater(writer: &Writer) -> Manager {
        Manager { name: writer.manager.to_owned(), operation: "Update", version: writer.api_version.to_owned(), subresource: writer.subresource.to_owned() }
    }

    /// As a conflict names it.
    pub(super) fn printed(&self) -> String {
        let mut out = quoted(&self.name);
        if !self.subresource.is_empty() {
            out = format!("{out} with subresource {}", quoted(&self.subresource));
        }
        if self.operation == "Update" { format!("{out} using {}", self.version) } else { out }
    }
}

impl Managers {
    /// From the JSON of `managedFields`; entries that make no sense are left out.
    pub(super) fn of(entries: Option<&Value>) -> Managers {
        let entries: Vec<ManagedFieldsEntry> = entries.and_then(|e| serde_json::from_value(e.clone()).ok()).unwrap_or_default();
        let mut managers = Managers::default();
        for entry in entries {
            let operation = match entry.operation.as_deref() {
                Some("Apply") => "Apply",
                Some("Update") => "Update",
                _ => continue,
            };
            let api_version = entry.api_version.unwrap_or_default();
            let manager = Manager {
                name: entry.manager.unwrap_or_default(),
                operation,
                version: if operation == "Apply" { String::new() } else { api_version.clone() },
                subresource: entry.subresource.unwrap_or_default(),
            };
            let fields = entry.fields_v1.map(|f| Set::from_fields_v1(&f.0)).unwrap_or_default();
            managers.0.insert(manager, Owned { fields, api_version, time: entry.time });
        }
        managers
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn fields(&self, manager: &Manager) -> Option<Set> {
        self.0.get(manager).map(|o| o.fields.clone())
    }

    pub(super) fn all_fields(&self) -> Set {
        self.0.values().fold(Set::default(), |all, o| all.union(&o.fields))
    }

    pub(super) fn others<'a>(&'a self, me: &'a Manager) -> impl Iterator<Item = (&'a Manager, &'a Set)> {
        self.0.iter().filter(move |(m, _)| *m != me).map(|(m, o)| (m, &o.fields))
    }

    /// An applier owns just these fields.
    pub(super) fn set(&mut self, manager: &Manager, api_version: &str, fields: Set) {
        let time = self.0.get(manager).and_then(|o| o.time.clone());
        self.0.insert(manager.clone(), Owned { fields, api_version: api_version.to_owned(), time });
    }

    /// The applier's entry is of now.
    pub(super) fn touch(&mut self, manager: &Manager, now: jiff::Timestamp) {
        if let Some(owned) = self.0.get_mut(manager) {
            owned.time = Some(Time(crate::meta::whole_second(now)));
        }
    }

    /// An updater owns these fields, too.
    pub(super) fn update(&mut self, writer: &Writer, fields: &Set) {
        let time = Some(Time(crate::meta::whole_second(writer.now)));
        let owned =
            self.0.entry(Manager::updater(writer)).or_insert_with(|| Owned { fields: Set::default(), api_version: writer.api_version.to_owned(), time: None });
        owned.fields = owned.fields.union(fields);
        owned.time = time;
    }

    /// All but one manager lose these fields; who owns nothing is forgotten.
    pub(super) fn lose(&mut self, but: Option<&Manager>, fields: &Set) {
        for (manager, owned) in &mut self.0 {
            if Some(manager) != but {
                owned.fields = owned.fields.difference(fields);
            }
        }
        self.0.retain(|_, owned| !owned.fields.is_empty());
    }

    /// Of too many updaters, the oldest become one.
    pub(super) fn cap(&mut self) {
        let mut updaters: Vec<(Option<Time>, Manager)> =
            self.0.iter().filter(|(m, _)| m.operation == "Update").map(|(m, o)| (o.time.clone(), m.clone())).collect();
        if updaters.len() <= MAX_UPDATERS {
            return;
        }
        updaters.sort();
        let surplus = updaters.len() - MAX_UPDATERS + 1;
        for (time, manager) in updaters.into_iter().take(surplus) {
            let Some(owned) = self.0.remove(&manager) else { continue };
            let ancient = Manager { name: "ancient-changes".to_owned(), subresource: String::new(), ..manager };
            let into = self.0.entry(ancient).or_insert_with(|| Owned { fields: Set::default(), api_version: owned.api_version.clone(), time: None });
            into.fields = into.fields.union(&owned.fields);
            into.time = into.time.take().max(time);
        }
    }

    /// As JSON, in Kubernetes' order; `None` if there are none.
    pub(super) fn to_value(&self) -> Option<Value> {
        let mut entries: Vec<(&Manager, &Owned)> = self.0.iter().filter(|(_, o)| !o.fields.is_empty()).collect();
        entries.sort_by(|(a, x), (b, y)| {
            (a.operation, &x.time, &a.name, &x.api_version, &a.subresource).cmp(&(b.operation, &y.time, &b.name, &y.api_version, &b.subresource))
        });
        let entries: Vec<ManagedFieldsEntry> = entries.into_iter().map(|(manager, owned)| entry(manager, owned)).collect();
        if entries.is_empty() { None } else { serde_json::to_value(entries).ok() }
    }
}

fn entry(manager: &Manager, owned: &Owned) -> ManagedFieldsEntry {
    ManagedFieldsEntry {
        manager: Some(manager.name.clone()),
        operation: Some(manager.operation.to_owned()),
        api_version: Some(owned.api_version.clone()),
        time: owned.time.clone(),
        fields_type: Some("FieldsV1".to_owned()),
        fields_v1: Some(FieldsV1(owned.fields.to_fields_v1())),
        subresource: Some(manager.subresource.clone()).filter(|s| !s.is_empty()),
    }
}
