//! Which objects a command means: `po,svc`, `deploy web db`, `pod/a svc/b`, `-l app=x`, `-f file`. Words become
//! targets without asking for the objects; [`fetch`] then asks.

use serde_json::Value;

use crate::discovery::Resource;
use crate::error::{Error, Result};
use crate::manifest::{self, FileFlags};
use crate::session::{Session, with_query};

/// What a command line says of objects.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Types and names.
    pub words: Vec<String>,
    /// Manifests.
    pub files: FileFlags,
    /// `-l`
    pub selector: Option<String>,
    /// `--field-selector`
    pub field_selector: Option<String>,
    /// `--all`
    pub all: bool,
    /// `-A`
    pub all_namespaces: bool,
    /// Whether a type alone means all its objects.
    pub type_alone: bool,
    /// Whether only one type may be named.
    pub single_type: bool,
    /// `--subresource`
    pub subresource: String,
}

/// Something to ask for.
#[derive(Debug, Clone)]
pub enum Target {
    /// One object.
    Object {
        /// Its resource.
        resource: Resource,
        /// Its namespace, where it has one.
        namespace: Option<String>,
        /// Its name.
        name: String,
        /// What a manifest says of it.
        local: Option<Value>,
        /// The manifest.
        source: String,
    },
    /// A collection.
    List {
        /// Its resource.
        resource: Resource,
        /// The namespace; all of them otherwise.
        namespace: Option<String>,
        /// Labels.
        labels: String,
        /// Fields.
        fields: String,
    },
}

/// An object, and where it is.
#[derive(Debug, Clone)]
pub struct Info {
    /// Its resource.
    pub resource: Resource,
    /// Its namespace, where it has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// As the server, or the manifest, has it.
    pub object: Value,
    /// The manifest it came from.
    pub source: String,
}

impl Info {
    /// Its path at the server.
    pub fn path(&self) -> String {
        self.resource.object(self.namespace.as_deref(), &self.name)
    }
}

/// The targets; whether they are one object by the way they were named; and what could not be read.
#[derive(Debug, Default)]
pub struct Targets {
    /// In the order of the command line.
    pub targets: Vec<Target>,
    /// One object was named, and no collection.
    pub single: bool,
    /// What is wrong with some of the manifests.
    pub errors: Vec<Error>,
}

const MISSING: &str = "You must provide one or more resources by argument or filename.
Example resource specifications include:
   '-f rsrc.yaml'
   '--filename=rsrc.json'
   '<resource> <name>'
   '<resource>'";

impl Selection {
    /// Finds out what is meant.
    pub async fn targets(&self, session: &Session) -> Result<Targets> {
        let words = normalise(&self.words);
        if !self.files.is_empty() {
            return self.of_files(session, &words).await;
        }
        if self.all && (self.selector.is_some() || self.field_selector.is_some()) {
            return Err(Error::message("setting 'all' parameter but found a non empty selector. "));
        }
        let slashes = words.iter().filter(|word| word.contains('/')).count();
        if slashes > 0 {
            if slashes != words.len() {
                return Err(Error::message(
                    "there is no need to specify a resource type as a separate argument when passing arguments in resource/name form (e.g. 'wharf get resource/<resource_name>' instead of 'wharf get resource resource/<resource_name>'",
                ));
            }
            return self.of_pairs(session, &words).await;
        }
        let Some((types, names)) = words.split_first() else {
            return Err(if self.selector.is_some() || self.field_selector.is_some() || self.all {
                Error::message("at least one resource must be specified to use a selector")
            } else {
                Error::message(MISSING)
            });
        };
        let resources = self.resources(session, types).await?;
        if resources.len() > 1 && self.single_type {
            return Err(Error::message("you may only specify a single resource type"));
        }
        let selecting = self.selector.is_some() || self.field_selector.is_some() || self.all;
        if selecting || (names.is_empty() && self.type_alone) {
            if !names.is_empty() {
                return Err(Error::message("name cannot be provided when a selector is specified"));
            }
            let targets = resources.into_iter().map(|resource| Target::List {
                namespace: self.namespace(session, &resource),
                resource,
                labels: self.selector.clone().unwrap_or_default(),
                fields: self.field_selector.clone().unwrap_or_default(),
            });
            return Ok(Targets { targets: targets.collect(), ..Targets::default() });
        }
        if names.is_empty() {
            return Err(Error::message("resource(s) were provided, but no name was specified"));
        }
        let resource = resources.into_iter().next().ok_or_else(|| Error::message(MISSING))?;
        let targets = names.iter().map(|name| self.object(session, &resource, name)).collect::<Result<Vec<_>>>()?;
        Ok(Targets { single: targets.len() == 1, targets, ..Targets::default() })
    }

    fn namespace(&self, session: &Session, resource: &Resource) -> Option<String> {
        (resource.namespaced && !self.all_namespaces).then(|| session.namespace.clone())
    }

    fn object(&self, session: &Session, resource: &Resource, name: &str) -> Result<Target> {
        if resource.namespaced && self.all_namespaces {
            return Err(Error::message("a resource cannot be retrieved by name across all namespaces"));
        }
        Ok(Target::Object {
            namespace: self.namespace(session, resource),
            resource: resource.clone(),
            name: name.to_owned(),
            local: None,
            source: String::new(),
        })
    }

    async fn resources(&self, session: &Session, types: &str) -> Result<Vec<Resource>> {
        let discovery = session.discovery().await?;
        let mut found: Vec<Resource> = Vec::new();
        for word in types.split(',') {
            let members = discovery.category(word);
            if members.is_empty() {
                found.push(discovery.find(word)?.clone());
            } else {
                found.extend(members.into_iter().cloned());
            }
        }
        let mut unique: Vec<Resource> = Vec::new();
        for resource in found {
            if !unique.iter().any(|u| u.group == resource.group && u.version == resource.version && u.kind == resource.kind) {
                unique.push(resource);
            }
        }
        Ok(unique)
    }

    async fn of_pairs(&self, session: &Session, words: &[String]) -> Result<Targets> {
        let mut pairs = Vec::new();
        for word in words {
            let mut parts = word.split('/');
            match (parts.next(), parts.next(), parts.next()) {
                (_, _, Some(_)) => return Err(Error::message("arguments in resource/name form may not have more than one slash")),
                (Some(kind), Some(name), None) if !kind.is_empty() && !name.is_empty() && !kind.contains(',') => pairs.push((kind, name)),
                _ => return Err(Error::message("arguments in resource/name form must have a single resource and name")),
            }
        }
        if self.selector.is_some() || self.field_selector.is_some() || self.all {
            return Err(Error::message("selectors and the all flag cannot be used when passing resource/name arguments"));
        }
        let discovery = session.discovery().await?;
        let mut targets = Vec::new();
        for (kind, name) in &pairs {
            targets.push(self.object(session, discovery.find(kind)?, name)?);
        }
        let first = discovery.find(pairs[0].0)?;
        if self.single_type && !targets.iter().all(|t| matches!(t, Target::Object { resource, .. } if resource == first)) {
            return Err(Error::message("you may only specify a single resource type"));
        }
        Ok(Targets { single: targets.len() == 1, targets, ..Targets::default() })
    }

    async fn of_files(&self, session: &Session, words: &[String]) -> Result<Targets> {
        let (manifests, mut errors) = manifest::read(&self.files).await?;
        if !words.is_empty() {
            return Err(Error::message("when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well"));
        }
        let stream = self.files.files.iter().any(|file| file == "-" || std::path::Path::new(file).is_dir());
        let one_file = !stream && self.files.files.len() == 1;
        let manifests = manifest::flatten(manifests);
        let single = one_file && manifests.len() == 1;
        let mut targets = Vec::new();
        for manifest in manifests {
            if let Some(selector) = &self.selector
                && !crate::labels::matches(selector, &manifest.object["metadata"]["labels"])
                    .map_err(|error| Error::message(format!("the provided selector {selector:?} is not valid: {error}")))?
            {
                continue;
            }
            match local(session, manifest).await {
                Ok(target) => targets.push(target),
                Err(error) => errors.push(error),
            }
        }
        Ok(Targets { targets, single, errors })
    }
}

/// `a,b c` → `a/c b/c`.
fn normalise(words: &[String]) -> Vec<String> {
    match words.split_first() {
        Some((types, names)) if !names.is_empty() && types.contains(',') => {
            types.split(',').filter(|kind| !kind.is_empty()).flat_map(|kind| names.iter().map(move |name| format!("{kind}/{name}"))).collect()
        }
        _ => words.to_vec(),
    }
}

/// What a manifest is about.
async fn local(session: &Session, manifest: manifest::Manifest) -> Result<Target> {
    let mut object = manifest.object;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let (name, namespace) = (text(&object["metadata"]["name"]), text(&object["metadata"]["namespace"]));
    let discovery = session.discovery().await?;
    let Some(resource) = discovery.kind(&api_version, &kind).cloned() else {
        return Err(Error::message(format!(
            "resource mapping not found for name: {name:?} namespace: {namespace:?} from {:?}: no matches for kind {kind:?} in version {api_version:?}\nensure CRDs are installed first",
            manifest.source
        )));
    };
    let namespace = if resource.namespaced {
        if namespace.is_empty() {
            object["metadata"]["namespace"] = session.namespace.clone().into();
            Some(session.namespace.clone())
        } else if session.explicit_namespace && namespace != session.namespace {
            return Err(Error::message(format!(
                "the namespace from the provided object {namespace:?} does not match the namespace {:?}. You must pass '--namespace={namespace}' to perform this operation.",
                session.namespace
            )));
        } else {
            Some(namespace)
        }
    } else {
        None
    };
    Ok(Target::Object { resource, namespace, name, local: Some(object), source: manifest.source })
}

impl Target {
    /// The resource.
    pub fn resource(&self) -> &Resource {
        match self {
            Target::Object { resource, .. } | Target::List { resource, .. } => resource,
        }
    }

    /// The path to ask at.
    pub fn path(&self, subresource: &str) -> String {
        match self {
            Target::Object { resource, namespace, name, .. } => {
                let path = resource.object(namespace.as_deref(), name);
                if subresource.is_empty() { path } else { format!("{path}/{subresource}") }
            }
            Target::List { resource, namespace, labels, fields } => {
                with_query(&resource.path(namespace.as_deref()), &[("labelSelector", labels), ("fieldSelector", fields)])
            }
        }
    }
}

/// Asks for a collection in pieces of `chunk`; the answer is as one.
pub async fn list(session: &Session, path: &str, accept: &str, chunk: u64) -> Result<Value> {
    let limit = if chunk == 0 { String::new() } else { chunk.to_string() };
    let mut whole = session.get_as(&with_query(path, &[("limit", &limit)]), accept).await?;
    loop {
        let next = whole["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        if next.is_empty() {
            return Ok(whole);
        }
        let mut more = session.get_as(&with_query(path, &[("limit", &limit), ("continue", &next)]), accept).await?;
        for field in ["items", "rows"] {
            if let (Some(all), Some(new)) = (whole[field].as_array().is_some().then_some(()), more[field].as_array_mut()) {
                let new = std::mem::take(new);
                let () = all;
                if let Some(items) = whole.get_mut(field).and_then(Value::as_array_mut) {
                    items.extend(new);
                }
            }
        }
        whole["metadata"] = more["metadata"].take();
    }
}

/// The items of a list, each with its kind.
pub fn items_of(list: &mut Value, resource: &Resource) -> Vec<Value> {
    let items = list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    let typed = |mut item: Value| {
        if item.get("kind").is_none() {
            item["kind"] = resource.kind.clone().into();
            item["apiVersion"] = resource.api_version().into();
        }
        item
    };
    items.into_iter().map(typed).collect()
}

/// The objects of these targets. A manifest's object is what the server has of it, unless `local` is wanted.
pub async fn fetch(session: &Session, selection: &Selection, want_local: bool) -> Result<(Vec<Info>, Vec<Error>, bool)> {
    let Targets { targets, single, mut errors } = selection.targets(session).await?;
    let mut infos = Vec::new();
    for target in targets {
        if let Err(error) = fetch_one(session, selection, target, want_local, &mut infos).await {
            errors.push(error);
        }
    }
    Ok((infos, errors, single))
}

async fn fetch_one(session: &Session, selection: &Selection, target: Target, want_local: bool, infos: &mut Vec<Info>) -> Result<()> {
    let path = target.path(&selection.subresource);
    match target {
        Target::Object { resource, namespace, name, local, source } => {
            let object = match local {
                Some(local) if want_local => local,
                _ => session.get(&path).await?,
            };
            infos.push(Info { resource, namespace, name, object, source });
        }
        Target::List { resource, .. } => {
            let mut whole = list(session, &path, "application/json", 500).await?;
            for object in items_of(&mut whole, &resource) {
                let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
                let namespace = resource.namespaced.then(|| text("namespace"));
                infos.push(Info { resource: resource.clone(), namespace, name: text("name"), object, source: String::new() });
            }
        }
    }
    Ok(())
}

/// Exactly these objects; the first error ends it.
pub async fn must_fetch(session: &Session, selection: &Selection, want_local: bool) -> Result<Vec<Info>> {
    let (infos, errors, _) = fetch(session, selection, want_local).await?;
    Error::all(errors)?;
    Ok(infos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_types_with_names_are_pairs() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(normalise(&words("po,svc a b")), ["po/a", "po/b", "svc/a", "svc/b"]);
        assert_eq!(normalise(&words("po,svc")), ["po,svc"]);
        assert_eq!(normalise(&words("po a")), ["po", "a"]);
    }
}
