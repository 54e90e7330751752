//! Names of functions and hosts.

use anyhow::{Result, bail};

/// The name that was asked for, or one made of what the source is called.
pub(super) fn choose(asked: Option<&str>, default: &str) -> Result<String> {
    match asked {
        Some(name) => check_label("name", name),
        None => {
            let made: String = default.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
            let made = made.trim_matches('-');
            check_label("name", made).map_err(|error| anyhow::anyhow!("{error}; choose another with --name"))
        }
    }
}

/// A DNS label: what Services, Pods and hosts are named by.
pub(super) fn check_label(what: &str, label: &str) -> Result<String> {
    if is_label(label) && label.starts_with(|c: char| c.is_ascii_lowercase()) || what != "name" && is_label(label) {
        return Ok(label.to_owned());
    }
    bail!("the {what} {label:?} is not a DNS label: at most 63 lower-case letters, digits and '-', beginning with a letter, not ending with '-'")
}

fn is_label(label: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(good) && !label.starts_with('-') && !label.ends_with('-')
}

/// A host name that an Ingress takes.
pub(super) fn check_host(host: &str) -> Result<String> {
    if host.len() <= 253 && host.split('.').all(is_label) && host.parse::<std::net::IpAddr>().is_err() {
        return Ok(host.to_owned());
    }
    bail!("the host {host:?} is not a DNS name: labels of lower-case letters, digits and '-', parted by '.'; no port and no path")
}

/// A host that leads to this machine without any set-up.
pub(super) fn default_host(name: &str, namespace: &str) -> String {
    if namespace == "default" { format!("{name}.localhost") } else { format!("{name}.{namespace}.localhost") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_or_checked() {
        let long = "a".repeat(64);
        for (asked, default, want) in [
            (None, "Hello_World", Some("hello-world")),
            (None, "hello.v2", Some("hello-v2")),
            (None, "-x-", Some("x")),
            (None, "___", None),
            (None, "1st", None),
            (Some("web"), "x", Some("web")),
            (Some("Web"), "x", None),
            (Some("web-"), "x", None),
            (Some("a.b"), "x", None),
            (Some(""), "x", None),
            (Some(&long), "x", None),
        ] {
            assert_eq!(choose(asked, default).ok().as_deref(), want, "{asked:?} {default}");
        }
    }

    #[test]
    fn hosts() {
        for (host, want) in [
            ("a.example.com", true),
            ("localhost", true),
            ("A.b", false),
            ("a..b", false),
            ("a.b:80", false),
            ("http://a", false),
            ("127.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(check_host(host).is_ok(), want, "{host}");
        }
        assert_eq!(default_host("a", "default"), "a.localhost");
        assert_eq!(default_host("a", "team"), "a.team.localhost");
    }
}
