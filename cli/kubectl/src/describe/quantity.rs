//! Sums of quantities, in the form in which Kubernetes writes them.

use serde_json::Value;

use super::list_of;

/// A sum, in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Quantity {
    milli: i128,
    binary: bool,
}

impl Quantity {
    /// Of `100m`, `2`, `64Mi`.
    pub(super) fn parse(text: &str) -> Quantity {
        let value = crate::print::sort::quantity(text).unwrap_or(0.0);
        Quantity { milli: (value * 1000.0).ceil() as i128, binary: text.ends_with('i') }
    }

    pub(super) fn of(value: &Value) -> Quantity {
        match value {
            Value::String(text) => Quantity::parse(text),
            Value::Number(number) => Quantity::parse(&number.to_string()),
            _ => Quantity::default(),
        }
    }

    pub(super) fn add(&mut self, other: Quantity) {
        if self.milli == 0 {
            self.binary = other.binary;
        }
        self.milli += other.milli;
    }

    fn larger(self, other: Quantity) -> Quantity {
        if other.milli > self.milli { other } else { self }
    }

    /// Per cent of another; nothing of nothing.
    pub(super) fn percent_of(self, all: Quantity) -> i64 {
        if all.milli == 0 { 0 } else { (self.milli as f64 / all.milli as f64 * 100.0) as i64 }
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.milli % 1000 != 0 {
            return write!(f, "{}m", self.milli);
        }
        let mut value = self.milli / 1000;
        let (base, units) =
            if self.binary && value.abs() >= 1024 { (1024, ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]) } else { (1000, ["", "k", "M", "G", "T", "P", "E"]) };
        let mut unit = 0;
        while value != 0 && value % base == 0 && unit + 1 < units.len() {
            value /= base;
            unit += 1;
        }
        write!(f, "{value}{}", units[unit])
    }
}

/// What a Pod requests (or may have at most) of a resource: all containers together, or the largest of those that
/// run before them.
pub(super) fn of_pod(pod: &Value, kind: &str, resource: &str) -> Quantity {
    let spec = &pod["spec"];
    let of = |container: &Value| Quantity::of(&container["resources"][kind][resource]);
    if !spec["resources"][kind][resource].is_null() {
        return Quantity::of(&spec["resources"][kind][resource]);
    }
    let mut sum = Quantity::default();
    list_of(&spec["containers"]).iter().for_each(|container| sum.add(of(container)));
    let (mut beside, mut first) = (Quantity::default(), Quantity::default());
    for container in list_of(&spec["initContainers"]) {
        if container["restartPolicy"] == "Always" {
            sum.add(of(container));
            beside.add(of(container));
            first = first.larger(beside);
        } else {
            let mut one = of(container);
            one.add(beside);
            first = first.larger(one);
        }
    }
    let mut all = sum.larger(first);
    if !spec["overhead"][resource].is_null() && (kind == "requests" || all.milli != 0) {
        all.add(Quantity::of(&spec["overhead"][resource]));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_written_shortly() {
        let sum = |texts: &[&str]| {
            let mut sum = Quantity::default();
            texts.iter().for_each(|text| sum.add(Quantity::parse(text)));
            sum.to_string()
        };
        for (texts, written) in [
            (&["100m", "150m"][..], "250m"),
            (&["500m", "1500m"], "2"),
            (&["64Mi", "64Mi"], "128Mi"),
            (&["512Mi", "512Mi"], "1Gi"),
            (&["1000"], "1k"),
            (&[], "0"),
            (&["70Mi", "1"], "73400321"),
        ] {
            assert_eq!(sum(texts), written);
        }
    }
}
