//! What is kept of an Ingress: what requests and the controller ask for, made once when it arrives. The object itself is several times as large.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend, IngressClass, IngressLoadBalancerIngress, IngressSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wharf_net::PortRef;
use wharf_rest::Pairs;

use crate::{Annotations, plugins};

/// The controller that an IngressClass must name to be served here.
pub(crate) const CONTROLLER: &str = "k8s.io/ingress-nginx";

/// What Ingresses without annotations of ours share.
static SILENT: LazyLock<Arc<Annotations>> = LazyLock::new(Arc::default);

/// An Ingress, as far as it matters here.
pub struct Kept {
    /// `namespace/name`.
    pub name: Arc<str>,
    /// What its annotations say.
    pub annotations: Arc<Annotations>,
    /// The plugins that it names.
    pub plugins: Box<[String]>,
    /// Its labels, which plugins may select by.
    pub labels: Pairs,
    /// The annotations that are not understood, for the log.
    pub(crate) odd: Box<str>,
    pub(crate) rules: Box<[Rule]>,
    pub(crate) default: Option<Box<Target>>,
    pub(crate) tls: Box<[Tls]>,
    class: Class,
    created: Option<jiff::Timestamp>,
    pub(crate) uid: Option<Box<str>>,
    pub(crate) version: Option<Box<str>>,
    pub(crate) generation: Option<i64>,
    /// A hash of its annotations, all of them.
    pub(crate) annotated: u64,
    /// As [`addresses_of`] it.
    pub(crate) addresses: Option<Box<[IpAddr]>>,
}

/// The paths of a host.
pub(crate) struct Rule {
    /// In lower case; empty: any.
    pub(crate) host: Arc<str>,
    pub(crate) paths: Box<[Path]>,
}

pub(crate) struct Path {
    pub(crate) text: Box<str>,
    pub(crate) kind: PathType,
    pub(crate) target: Target,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathType {
    Exact,
    Prefix,
    ImplementationSpecific,
}

/// A Service's port.
pub(crate) struct Target {
    /// `namespace/name`.
    pub(crate) service: Arc<str>,
    pub(crate) port: PortRef,
}

/// An entry of `spec.tls`.
pub(crate) struct Tls {
    /// Empty: the default certificate.
    pub(crate) secret: Box<str>,
    /// In lower case: those named, else those of the rules.
    pub(crate) hosts: Box<[Arc<str>]>,
}

/// What it says of its class.
enum Class {
    Named(Box<str>),
    /// The annotation from before there were classes, with our name or with another.
    Annotated {
        ours: bool,
    },
    Unsaid,
}

impl Kept {
    /// Reads an Ingress.
    pub fn of(ingress: &Ingress) -> Kept {
        let (nothing, silence) = (IngressSpec::default(), BTreeMap::new());
        let (meta, spec) = (&ingress.metadata, ingress.spec.as_ref().unwrap_or(&nothing));
        let annotated = meta.annotations.as_ref().unwrap_or(&silence);
        let (annotations, odd) = Annotations::of(annotated);
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let rules: Box<[Rule]> = spec
            .rules
            .iter()
            .flatten()
            .map(|rule| Rule {
                host: rule.host.as_deref().unwrap_or_default().to_ascii_lowercase().into(),
                paths: rule.http.iter().flat_map(|http| &http.paths).filter_map(|path| Path::of(path, namespace)).collect(),
            })
            .collect();
        let hosts = |named: &Option<Vec<String>>| -> Box<[Arc<str>]> {
            match named.as_deref().unwrap_or_default() {
                [] => rules.iter().map(|rule| rule.host.clone()).filter(|host| !host.is_empty()).collect(),
                named => named.iter().map(|host| host.to_ascii_lowercase().into()).collect(),
            }
        };
        let tls = |tls: &k8s_openapi::api::networking::v1::IngressTLS| Tls {
            secret: tls.secret_name.as_deref().unwrap_or_default().into(),
            hosts: hosts(&tls.hosts),
        };
        let mut hash = DefaultHasher::new();
        annotated.hash(&mut hash);
        Kept {
            name: name_of(meta),
            annotations: if annotations == **SILENT { SILENT.clone() } else { Arc::new(annotations) },
            plugins: plugins::named(annotated).into(),
            labels: meta.labels.as_ref().into(),
            odd: odd.join(", ").into(),
            default: spec.default_backend.as_ref().and_then(|backend| Target::of(backend, namespace)).map(Box::new),
            tls: spec.tls.iter().flatten().map(tls).collect(),
            rules,
            class: match (&spec.ingress_class_name, annotated.get("kubernetes.io/ingress.class")) {
                (Some(named), _) => Class::Named(named.as_str().into()),
                (None, Some(annotated)) => Class::Annotated { ours: annotated == "nginx" },
                (None, None) => Class::Unsaid,
            },
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            uid: meta.uid.as_deref().map(Box::from),
            version: meta.resource_version.as_deref().map(Box::from),
            generation: meta.generation,
            annotated: hash.finish(),
            addresses: addresses_of(ingress),
        }
    }

    /// Whether it is this controller's: by its class, the annotation from before there were classes, or because the default class is ours.
    pub(crate) fn is_ours<'a>(&self, classes: impl IntoIterator<Item = &'a IngressClass>) -> bool {
        let ours = |class: &&IngressClass| class.spec.as_ref().and_then(|spec| spec.controller.as_deref()) == Some(CONTROLLER);
        let mut classes = classes.into_iter().filter(ours);
        match &self.class {
            Class::Named(named) => classes.any(|class| class.metadata.name.as_deref() == Some(&**named)),
            Class::Annotated { ours } => *ours,
            Class::Unsaid => classes.any(|class| {
                let annotations = class.metadata.annotations.as_ref();
                annotations.and_then(|all| all.get("ingressclass.kubernetes.io/is-default-class")).is_some_and(|value| value == "true")
            }),
        }
    }

    /// The order in which Ingresses are heard, the oldest first: what one has is not another's.
    pub(crate) fn by_age(&self, other: &Kept) -> Ordering {
        self.created.cmp(&other.created).then_with(|| parts(&self.name).cmp(&parts(&other.name)))
    }
}

impl Path {
    fn of(path: &HTTPIngressPath, namespace: &str) -> Option<Path> {
        let kind = match path.path_type.as_str() {
            "Exact" => PathType::Exact,
            "Prefix" => PathType::Prefix,
            _ => PathType::ImplementationSpecific,
        };
        let text = path.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
        Some(Path { text: text.into(), kind, target: Target::of(&path.backend, namespace)? })
    }
}

impl Target {
    fn of(backend: &IngressBackend, namespace: &str) -> Option<Target> {
        let service = backend.service.as_ref()?;
        let port = service.port.as_ref()?;
        let port = match (&port.name, port.number) {
            (Some(name), _) if !name.is_empty() => PortRef::Name(name.as_str().into()),
            (_, Some(number)) => PortRef::Number(number.try_into().ok()?),
            _ => return None,
        };
        Some(Target { service: format!("{namespace}/{}", service.name).into(), port })
    }
}

/// `namespace/name`.
pub(crate) fn name_of(meta: &ObjectMeta) -> Arc<str> {
    format!("{}/{}", meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default()).into()
}

/// Namespace and name.
pub(crate) fn parts(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("", name))
}

/// The addresses that the status names; `None`: it says something else, too.
pub(crate) fn addresses_of(ingress: &Ingress) -> Option<Box<[IpAddr]>> {
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let named = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    named.iter().map(|one| one.ip.as_ref()?.parse().ok().filter(|ip| address(*ip) == *one)).collect()
}

/// An address as a status names it.
pub(crate) fn address(ip: IpAddr) -> IngressLoadBalancerIngress {
    IngressLoadBalancerIngress { ip: Some(ip.to_string()), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(yaml: &str) -> Kept {
        Kept::of(&serde_yaml::from_str(yaml).unwrap())
    }

    #[test]
    fn what_the_object_says_is_kept() {
        let one = kept(
            "{metadata: {namespace: shop, name: web, uid: u-1, resourceVersion: '7', generation: 3, labels: {a: b, app.kubernetes.io/name: web, empty: ''},
               annotations: {plugins.wharf.dev/ingress: 'one, two', nginx.ingress.kubernetes.io/proxy-read-timeout: '7', nginx.ingress.kubernetes.io/ssl-redirect: odd}},
              spec: {tls: [{secretName: all}, {hosts: [Some.test]}], defaultBackend: {service: {name: rest, port: {name: http}}}, rules: [{host: A.test, http: {paths: [
                {pathType: Exact, path: /x, backend: {service: {name: x, port: {number: 80}}}}, {pathType: Prefix, backend: {service: {name: y, port: {name: web}}}},
                {pathType: Prefix, path: /none, backend: {resource: {kind: Bucket, name: z}}}]}}, {}]},
              status: {loadBalancer: {ingress: [{ip: 10.0.0.1}, {ip: '2001:db8::1'}]}}}",
        );
        assert_eq!((&*one.name, one.uid.as_deref(), one.version.as_deref(), one.generation), ("shop/web", Some("u-1"), Some("7"), Some(3)));
        assert_eq!(
            ["a", "app.kubernetes.io/name", "empty", "app", "b", ""].map(|key| one.labels.get(key)),
            [Some("b"), Some("web"), Some(""), None, None, None]
        );
        assert_eq!((&*one.plugins, one.annotations.read_timeout.as_secs()), (&["one".to_owned(), "two".to_owned()][..], 7));
        assert_eq!(&*one.odd, "nginx.ingress.kubernetes.io/ssl-redirect: \"odd\"");
        let tls: Vec<(&str, Vec<&str>)> = one.tls.iter().map(|tls| (&*tls.secret, tls.hosts.iter().map(|host| &**host).collect())).collect();
        assert_eq!(tls, [("all", vec!["a.test"]), ("", vec!["some.test"])]);
        let target = |target: &Target| format!("{}:{:?}", target.service, target.port);
        let paths = |rule: &Rule| rule.paths.iter().map(|path| format!("{} {}", path.text, target(&path.target))).collect::<Vec<_>>().join(", ");
        let rules: Vec<String> = one.rules.iter().map(|rule| format!("{}: {}", rule.host, paths(rule))).collect();
        assert_eq!(rules, ["a.test: /x shop/x:Number(80), / shop/y:Name(\"web\")", ": "]);
        assert!(one.rules[0].paths[0].kind == PathType::Exact && one.rules[0].paths[1].kind == PathType::Prefix);
        assert_eq!(one.default.as_deref().map(target).as_deref(), Some("shop/rest:Name(\"http\")"));
        assert_eq!(one.addresses.as_deref(), Some(&["10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()][..]));
    }

    #[test]
    fn silence_is_shared_and_changes_are_seen() {
        let annotated = |annotations: &str| kept(&format!("{{metadata: {{namespace: a, name: b, annotations: {{{annotations}}}}}}}"));
        let (one, other) = (annotated(""), annotated("team: x"));
        assert!(Arc::ptr_eq(&one.annotations, &other.annotations) && one.annotated != other.annotated);
        assert_eq!(one.annotated, kept("{metadata: {namespace: a, name: b}}").annotated);
    }

    #[test]
    fn a_status_that_says_more_is_another() {
        let says = |ingress: &str| kept(&format!("{{metadata: {{}}, status: {{loadBalancer: {{ingress: [{ingress}]}}}}}}")).addresses;
        assert_eq!(says(""), Some([].into()));
        for more in ["{hostname: a.test}", "{ip: 10.0.0.1, hostname: a.test}", "{ip: 10.0.0.1, ports: [{port: 80, protocol: TCP}]}", "{ip: '::0:1'}"] {
            assert_eq!(says(more), None, "{more}");
        }
    }

    #[test]
    fn an_idle_one_is_small() {
        assert!(size_of::<Kept>() <= 256, "{}", size_of::<Kept>());
        assert!(size_of::<crate::Location>() <= 112, "{}", size_of::<crate::Location>());
    }
}
