//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a Pod.

use std::fmt::Write;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

/// What `/etc/resolv.conf` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolv {
    /// Name servers, at most 3.
    pub nameservers: Vec<String>,
    /// Search list, at most 32.
    pub searches: Vec<String>,
    /// Options, `name` or `name:value`.
    pub options: Vec<String>,
}

/// The cluster's DNS, for [`Resolv::of`].
#[derive(Debug, Clone)]
pub struct ClusterDns {
    /// Addresses of the `kube-dns` Service.
    pub servers: Vec<IpAddr>,
    /// `cluster.local`.
    pub domain: String,
}

impl Resolv {
    /// What a Pod's `dnsPolicy` and `dnsConfig` make of the cluster's and the host's settings.
    pub fn of(spec: &PodSpec, namespace: &str, cluster: &ClusterDns, host: &Resolv) -> Self {
        let host_network = spec.host_network == Some(true);
        let mut out = match spec.dns_policy.as_deref().unwrap_or("ClusterFirst") {
            "None" => Resolv::default(),
            "Default" => host.clone(),
            "ClusterFirst" if host_network => host.clone(),
            _ => {
                let domain = &cluster.domain;
                let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
                searches.extend(host.searches.iter().cloned());
                Resolv { nameservers: cluster.servers.iter().map(ToString::to_string).collect(), searches, options: vec!["ndots:5".into()] }
            }
        };
        if let Some(config) = &spec.dns_config {
            out.nameservers.extend(config.nameservers.iter().flatten().cloned());
            out.searches.extend(config.searches.iter().flatten().cloned());
            for option in config.options.iter().flatten() {
                let Some(name) = &option.name else { continue };
                out.options.retain(|o| o.split(':').next() != Some(name));
                out.options.push(match &option.value {
                    Some(value) => format!("{name}:{value}"),
                    None => name.clone(),
                });
            }
        }
        dedup(&mut out.nameservers, 3);
        dedup(&mut out.searches, 32);
        out
    }

    /// Reads a `resolv.conf`.
    pub fn parse(text: &str) -> Self {
        let mut out = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => out.nameservers.extend(words.next().map(str::to_owned)),
                Some("search") => out.searches = words.filter(|w| *w != ".").map(str::to_owned).collect(),
                Some("options") => out.options = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        out
    }

    /// The file.
    pub fn render(&self) -> String {
        let mut out = String::new();
        if !self.searches.is_empty() {
            let _ = writeln!(out, "search {}", self.searches.join(" "));
        }
        for server in &self.nameservers {
            let _ = writeln!(out, "nameserver {server}");
        }
        if !self.options.is_empty() {
            let _ = writeln!(out, "options {}", self.options.join(" "));
        }
        out
    }

    /// How many dots make a name be tried as it is first.
    pub fn ndots(&self) -> usize {
        self.options.iter().find_map(|o| o.strip_prefix("ndots:")?.parse().ok()).unwrap_or(1).min(15)
    }

    /// The full names to ask for, in order, when a guest asks for `name`.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(full) = name.strip_suffix('.') {
            return vec![full.to_owned()];
        }
        let searched = self.searches.iter().map(|s| format!("{name}.{}", s.trim_end_matches('.')));
        if name.matches('.').count() >= self.ndots() {
            std::iter::once(name.to_owned()).chain(searched).collect()
        } else {
            searched.chain(std::iter::once(name.to_owned())).collect()
        }
    }
}

fn dedup(list: &mut Vec<String>, most: usize) {
    let mut seen = std::collections::HashSet::new();
    list.retain(|item| seen.insert(item.clone()));
    list.truncate(most);
}

/// The name that a Pod's containers have: `spec.hostname`, else the Pod's name, cut to 63 characters as Linux would.
pub fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let name = spec.and_then(|s| s.hostname_override.clone().or_else(|| s.hostname.clone()).filter(|h| !h.is_empty()));
    let mut name = name.or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    if name.len() > 63 {
        name.truncate(63);
        name.truncate(name.trim_end_matches(['-', '.']).len());
    }
    name
}

/// `/etc/hosts`, with the Pod's own name and its `hostAliases`.
pub fn hosts(pod: &Pod, ip: Option<IpAddr>, domain: &str) -> String {
    let mut out = String::from(concat!(
        "# Kubernetes-managed hosts file.\n",
        "127.0.0.1\tlocalhost\n",
        "::1\tlocalhost ip6-localhost ip6-loopback\n",
        "fe00::0\tip6-localnet\n",
        "fe00::0\tip6-mcastprefix\n",
        "fe00::1\tip6-allnodes\n",
        "fe00::2\tip6-allrouters\n",
    ));
    let spec = pod.spec.as_ref();
    let hostname = hostname(pod);
    if let Some(ip) = ip {
        let subdomain = spec.and_then(|s| s.subdomain.as_deref()).filter(|s| !s.is_empty());
        let _ = match subdomain {
            Some(subdomain) => writeln!(out, "{ip}\t{hostname}.{subdomain}.{}.svc.{domain}\t{hostname}", pod.metadata.namespace.as_deref().unwrap_or_default()),
            None => writeln!(out, "{ip}\t{hostname}"),
        };
    }
    let aliases = spec.and_then(|s| s.host_aliases.as_deref()).unwrap_or_default();
    if !aliases.is_empty() {
        out.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let _ = writeln!(out, "{}\t{}", alias.ip, alias.hostnames.as_deref().unwrap_or_default().join("\t"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn cluster() -> ClusterDns {
        ClusterDns { servers: vec!["10.96.0.10".parse().unwrap()], domain: "cluster.local".into() }
    }

    #[test]
    fn resolv_conf_by_policy() {
        let host = Resolv::parse("# made by hand\nnameserver 192.0.2.1\nsearch example.org .\noptions edns0 ndots:2\n");
        let of = |spec: serde_json::Value| {
            let mut spec = spec;
            spec["containers"] = serde_json::json!([]);
            Resolv::of(&serde_json::from_value(spec).unwrap(), "shop", &cluster(), &host).render()
        };
        expect![[r#"
            search shop.svc.cluster.local svc.cluster.local cluster.local example.org
            nameserver 10.96.0.10
            options ndots:5
        "#]]
        .assert_eq(&of(serde_json::json!({})));
        expect![[r#"
            search example.org
            nameserver 192.0.2.1
            options edns0 ndots:2
        "#]]
        .assert_eq(&of(serde_json::json!({"dnsPolicy": "Default"})));
        expect![[r#"
            search x.y
            nameserver 9.9.9.9
            options ndots:2 edns0
        "#]]
        .assert_eq(&of(
            serde_json::json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"], "searches": ["x.y"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
        ));
        expect![[r#"
            search shop.svc.cluster.local svc.cluster.local cluster.local example.org x.y
            nameserver 10.96.0.10
            options ndots:1
        "#]]
        .assert_eq(&of(serde_json::json!({"dnsConfig": {"searches": ["x.y", "cluster.local"], "options": [{"name": "ndots", "value": "1"}]}})));
    }

    #[test]
    fn names_are_searched() {
        let resolv = Resolv { nameservers: vec![], searches: vec!["a.svc".into(), "svc".into()], options: vec!["ndots:2".into()] };
        for (name, want) in [("web", "web.a.svc web.svc web"), ("x.y.z", "x.y.z x.y.z.a.svc x.y.z.svc"), ("web.", "web"), ("a.b.", "a.b")] {
            assert_eq!(resolv.candidates(name).join(" "), want);
        }
    }

    #[test]
    fn hosts_file() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web-0", "namespace": "shop"},
            "spec": {"containers": [], "hostname": "web-0", "subdomain": "web", "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["foo.local", "bar.local"]}]}
        }))
        .unwrap();
        let text = hosts(&pod, Some("10.244.0.5".parse().unwrap()), "cluster.local");
        let own = text.split_once("allrouters\n").unwrap().1;
        expect![[r#"
            10.244.0.5	web-0.web.shop.svc.cluster.local	web-0

            # Entries added by HostAliases.
            192.0.2.7	foo.local	bar.local
        "#]]
        .assert_eq(own);
    }
}
