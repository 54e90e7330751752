//! Checks of values that many kinds have: ports, addresses, whole numbers, names in lists.

use std::net::IpAddr;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use crate::meta::names::{percent, port_name, port_number};

/// Refused changes of what an update may not touch.
pub(crate) const IMMUTABLE: &str = "field is immutable";
/// What is wrong with a negative number.
pub(crate) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// Every complaint of a check, at one path.
pub(crate) fn each(at: &Path, value: &str, complaints: Vec<String>) -> impl Iterator<Item = Error> {
    complaints.into_iter().map(move |complaint| Error::invalid(at, value, complaint))
}

/// A number that may not be negative.
pub(crate) fn not_negative(value: Option<impl Into<i64>>, at: &Path) -> Option<Error> {
    let value = value?.into();
    (value < 0).then(|| Error::invalid(at, value, NOT_NEGATIVE))
}

/// A number between bounds, both allowed.
pub(crate) fn in_range(value: i64, low: i64, high: i64, at: &Path) -> Option<Error> {
    (value < low || value > high).then(|| Error::invalid(at, value, format!("must be between {low} and {high}, inclusive")))
}

/// A port by number.
pub(crate) fn port(port: i32, at: &Path) -> Errors {
    port_number(port.into()).into_iter().map(|e| Error::invalid(at, port, e)).collect()
}

/// A port by number or name.
pub(crate) fn port_or_name(value: &IntOrString, at: &Path) -> Errors {
    match value {
        IntOrString::Int(number) => port(*number, at),
        IntOrString::String(name) => each(at, name, port_name(name)).collect(),
    }
}

/// A value out of a fixed set. Absent or empty is required.
pub(crate) fn one_of(value: Option<&str>, supported: &[&str], at: &Path) -> Option<Error> {
    match value.unwrap_or_default() {
        "" => Some(Error::required(at, "")),
        value if supported.contains(&value) => None,
        value => Some(Error::not_supported(at, value, supported)),
    }
}

/// Reads an IP address as Kubernetes does: no zone, no leading zeroes.
pub(crate) fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// An IP address.
pub(crate) fn ip(text: &str, at: &Path) -> Option<Error> {
    parse_ip(text).is_none().then(|| Error::invalid(at, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))
}

/// A network in CIDR form.
pub(crate) fn cidr(text: &str, at: &Path) -> Option<Error> {
    text.parse::<ipnet::IpNet>().is_err().then(|| Error::invalid(at, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"))
}

/// An address behind a Service: not the host itself, not link-local, not multicast.
pub(crate) fn endpoint_ip(text: &str, at: &Path) -> Errors {
    let Some(ip) = parse_ip(text) else { return ip_error(text, at) };
    let mut errors = Errors::new();
    let mut refuse = |yes: bool, words: &str| {
        if yes {
            errors.push(Error::invalid(at, text, words));
        }
    };
    refuse(ip.is_unspecified(), "may not be unspecified (0.0.0.0 or ::)");
    refuse(ip.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    let (link_local, multicast) = match ip {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    refuse(link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    refuse(multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    errors
}

fn ip_error(text: &str, at: &Path) -> Errors {
    ip(text, at).into_iter().collect()
}

/// A count, or a percentage of one.
pub(crate) fn count_or_percent(value: &IntOrString, at: &Path) -> Errors {
    match value {
        IntOrString::Int(number) => not_negative(Some(*number), at).into_iter().collect(),
        IntOrString::String(text) => each(at, text, percent(text)).collect(),
    }
}

/// The number of `50%`.
pub(crate) fn percentage(value: &IntOrString) -> Option<i32> {
    match value {
        IntOrString::Int(_) => None,
        IntOrString::String(text) => text.strip_suffix('%')?.parse().ok(),
    }
}

/// A percentage over 100 is refused.
pub(crate) fn at_most_100_percent(value: &IntOrString, at: &Path) -> Option<Error> {
    percentage(value).filter(|p| *p > 100).map(|_| Error::invalid(at, crate::field::printed_json(value), "must not be greater than 100%"))
}

/// A path below some folder: relative, and never upwards.
pub(crate) fn descending_path(path: &str, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if path.starts_with('/') {
        errors.push(Error::invalid(at, path, "must be a relative path"));
    }
    errors.extend(no_backsteps(path, at));
    errors
}

/// A path without `..`.
pub(crate) fn no_backsteps(path: &str, at: &Path) -> Option<Error> {
    path.split('/').any(|part| part == "..").then(|| Error::invalid(at, path, "must not contain '..'"))
}

/// A path of a file in a volume that Kubernetes writes: names beginning with `..` are its own.
pub(crate) fn file_path(path: &str, at: &Path) -> Errors {
    let mut errors = descending_path(path, at);
    if path.starts_with("..") && !path.starts_with("../") {
        errors.push(Error::invalid(at, path, "must not start with '..'"));
    }
    errors
}
