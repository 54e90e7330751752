//! What a request's method and path ask for: Kubernetes' `RequestInfo`.

use std::borrow::Cow;

use http::Method;

use super::query::percent_decode;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestInfo<'a> {
    /// RBAC's verb: `get`, `list`, `watch`, `create`, …; of paths that are no resource the method in lower case.
    pub(crate) verb: &'static str,
    /// The whole path.
    pub(crate) path: &'a str,
    /// The resource, when the path is one.
    pub(crate) resource: Option<ResourcePath<'a>>,
}

/// A resource, an object of it or something behind an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourcePath<'a> {
    /// Empty for the core group.
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    /// Empty outside of namespaces. For a Namespace object its own name, as Kubernetes has it.
    pub(crate) namespace: Cow<'a, str>,
    pub(crate) plural: &'a str,
    /// Empty for collections.
    pub(crate) name: Cow<'a, str>,
    /// Empty for the object itself.
    pub(crate) subresource: &'a str,
    /// What follows the subresource, without the slash before it.
    pub(crate) rest: &'a str,
}

/// Reads method, path and whether `watch` was asked for.
pub(crate) fn parse<'a>(method: &Method, path: &'a str, watch: bool) -> RequestInfo<'a> {
    let plain = RequestInfo { verb: lower(method), path, resource: None };
    let trimmed = path.trim_start_matches('/');
    let (group, version, rest) = if let Some(rest) = trimmed.strip_prefix("api/") {
        let (version, rest) = cut(rest);
        ("", version, rest)
    } else if let Some(rest) = trimmed.strip_prefix("apis/") {
        let (group, rest) = cut(rest);
        let (version, rest) = cut(rest);
        (group, version, rest)
    } else {
        return plain;
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() || version.is_empty() {
        return plain;
    }
    let mut resource = ResourcePath { group, version, ..ResourcePath::default() };
    let (first, behind) = cut(rest);
    let object = if first == "namespaces" && !behind.is_empty() {
        let (namespace, inside) = cut(behind);
        resource.namespace = percent_decode(namespace, false);
        let (next, _) = cut(inside);
        if inside.is_empty() || next == "status" || next == "finalize" { rest } else { inside }
    } else {
        rest
    };
    let (plural, behind) = cut(object);
    let (name, behind) = cut(behind);
    let (subresource, behind) = cut(behind);
    resource.plural = plural;
    resource.name = percent_decode(name, false);
    resource.subresource = subresource;
    resource.rest = behind;
    let collection = name.is_empty();
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        Method::GET | Method::HEAD if watch && subresource.is_empty() => "watch",
        Method::GET | Method::HEAD if collection => "list",
        Method::GET | Method::HEAD => "get",
        _ => lower(method),
    };
    RequestInfo { verb, path, resource: Some(resource) }
}

/// The first segment and what follows it.
fn cut(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}

fn lower(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources() {
        #[rustfmt::skip]
        let table = [
            // method, path, watch → verb group/version namespace plural name subresource rest
            (Method::GET, "/api/v1/pods", false, "list |/v1||pods||||"),
            (Method::GET, "/api/v1/pods", true, "watch |/v1||pods||||"),
            (Method::POST, "/api/v1/namespaces", false, "create |/v1||namespaces||||"),
            (Method::GET, "/api/v1/namespaces/a", false, "get |/v1|a|namespaces|a|||"),
            (Method::PUT, "/api/v1/namespaces/a/finalize", false, "update |/v1|a|namespaces|a|finalize||"),
            (Method::PATCH, "/api/v1/namespaces/a/status", false, "patch |/v1|a|namespaces|a|status||"),
            (Method::GET, "/api/v1/namespaces/a/pods", false, "list |/v1|a|pods||||"),
            (Method::DELETE, "/api/v1/namespaces/a/pods", false, "deletecollection |/v1|a|pods||||"),
            (Method::DELETE, "/api/v1/namespaces/a/pods/p", false, "delete |/v1|a|pods|p|||"),
            (Method::GET, "/api/v1/namespaces/a/pods/p/log", false, "get |/v1|a|pods|p|log||"),
            (Method::GET, "/api/v1/nodes/n/proxy/pods/x", false, "get |/v1||nodes|n|proxy|pods/x|"),
            (Method::GET, "/apis/apps/v1/deployments", false, "list |apps/v1||deployments||||"),
            (Method::PUT, "/apis/apps/v1/namespaces/a/deployments/d/scale", false, "update |apps/v1|a|deployments|d|scale||"),
            (Method::GET, "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%3Ab", false, "get |rbac.authorization.k8s.io/v1||clusterroles|system:a:b|||"),
            (Method::GET, "/api/v1", false, "get"),
            (Method::GET, "/apis/apps", false, "get"),
            (Method::GET, "/apis/apps/v1/", false, "get"),
            (Method::POST, "/healthz", false, "post"),
        ];
        for (method, path, watch, wanted) in table {
            let info = parse(&method, path, watch);
            let got = match info.resource {
                None => info.verb.to_owned(),
                Some(r) => {
                    format!("{} |{}/{}|{}|{}|{}|{}|{}|", info.verb, r.group, r.version, r.namespace, r.plural, r.name, r.subresource, r.rest)
                }
            };
            assert_eq!(got, wanted, "{method} {path}");
        }
    }
}
