//! Which representation of an answer a client accepts.

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Json,
    Yaml,
}

/// What of an object is in the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum View {
    /// The object or list itself.
    #[default]
    Object,
    /// `meta.k8s.io/v1 Table`.
    Table,
    /// `meta.k8s.io/v1 PartialObjectMetadata`, or the list of them for lists.
    Metadata,
    /// `apidiscovery.k8s.io/v2 APIGroupDiscoveryList`.
    Discovery,
}

/// What was chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) format: Format,
    pub(crate) view: View,
}

/// Which views an endpoint has beside the object itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// An object, a list or a watch: tables and metadata.
    Resource,
    /// `/api` and `/apis`: aggregated discovery.
    Discovery,
    /// Nothing else.
    Plain,
}

/// The first clause of `Accept` (in order of preference) that can be served; `None` is 406.
pub(crate) fn negotiate(accept: Option<&str>, endpoint: Endpoint) -> Option<Accepted> {
    let Some(accept) = accept.filter(|a| !a.trim().is_empty()) else { return Some(Accepted::default()) };
    // What almost everyone sends.
    if accept == "application/json" || accept == "*/*" {
        return Some(Accepted::default());
    }
    let mut clauses: Vec<(f32, Accepted)> = accept.split(',').filter_map(|clause| served(clause, endpoint)).collect();
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    clauses.into_iter().find(|(q, _)| *q > 0.0).map(|(_, accepted)| accepted)
}

fn served(clause: &str, endpoint: Endpoint) -> Option<(f32, Accepted)> {
    let mut parts = clause.split(';').map(str::trim);
    let format = match parts.next()? {
        "application/json" | "*/*" | "application/*" => Format::Json,
        "application/yaml" | "application/x-yaml" => Format::Yaml,
        _ => return None,
    };
    let (mut q, mut kind, mut group, mut version) = (1.0, "", "", "");
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        match key {
            "q" => q = value.parse().ok()?,
            "as" => kind = value,
            "g" => group = value,
            "v" => version = value,
            _ => {}
        }
    }
    let view = match (endpoint, kind, group, version) {
        (_, "", _, _) => View::Object,
        (Endpoint::Resource, "Table", "meta.k8s.io", "v1" | "v1beta1") => View::Table,
        (Endpoint::Resource, "PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1" | "v1beta1") => View::Metadata,
        (Endpoint::Discovery, "APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => View::Discovery,
        _ => return None,
    };
    Some((q, Accepted { format, view }))
}

/// What can be had of a resource, as the message of a 406 lists it.
pub(crate) fn available(collection: bool) -> &'static str {
    if collection {
        "application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    } else {
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let table = Some((Format::Json, View::Table));
        let json = Some((Format::Json, View::Object));
        let cases = [
            (kubectl, Endpoint::Resource, table),
            (kubectl, Endpoint::Plain, json),
            ("application/vnd.kubernetes.protobuf,application/json", Endpoint::Resource, json),
            ("application/vnd.kubernetes.protobuf", Endpoint::Resource, None),
            ("application/vnd.kubernetes.protobuf, */*", Endpoint::Resource, json),
            ("application/yaml", Endpoint::Resource, Some((Format::Yaml, View::Object))),
            ("image/png", Endpoint::Resource, None),
            ("application/json;q=0.5,application/yaml", Endpoint::Resource, Some((Format::Yaml, View::Object))),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Endpoint::Resource, Some((Format::Json, View::Metadata))),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
                Endpoint::Discovery,
                Some((Format::Json, View::Discovery)),
            ),
            ("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json", Endpoint::Discovery, json),
            ("", Endpoint::Plain, json),
        ];
        for (accept, endpoint, wanted) in cases {
            assert_eq!(negotiate(Some(accept), endpoint).map(|a| (a.format, a.view)), wanted, "{accept}");
        }
    }
}
