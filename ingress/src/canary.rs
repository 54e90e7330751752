//! Canary Ingresses of ingress-nginx: which requests go to the other version. Pure.

use http::HeaderMap;
use http::header::{COOKIE, HeaderName};
use regex::Regex;

/// What the annotations of a canary say. The header is asked first, then the cookie, then the weight decides.
#[derive(Clone, Debug)]
pub struct CanaryRules {
    /// `canary-by-header`: `always` and `never` decide.
    header: Option<HeaderName>,
    /// `canary-by-header-value`: this value decides instead.
    value: Option<String>,
    /// `canary-by-header-pattern`: a value that it matches decides instead.
    pattern: Option<Regex>,
    /// `canary-by-cookie`: `always` and `never` decide.
    cookie: Option<String>,
    /// `canary-weight`, 0: so many requests …
    weight: u32,
    /// `canary-weight-total`, 100: … of so many.
    total: u32,
}

impl Default for CanaryRules {
    fn default() -> CanaryRules {
        CanaryRules { header: None, value: None, pattern: None, cookie: None, weight: 0, total: 100 }
    }
}

impl PartialEq for CanaryRules {
    fn eq(&self, other: &CanaryRules) -> bool {
        let pattern = |rules: &CanaryRules| rules.pattern.as_ref().map(|regex| regex.as_str().to_owned());
        (&self.header, &self.value, &self.cookie, self.weight, self.total) == (&other.header, &other.value, &other.cookie, other.weight, other.total)
            && pattern(self) == pattern(other)
    }
}

impl Eq for CanaryRules {}

impl CanaryRules {
    /// Reads one annotation; `None`: not a canary's, else whether it is understood.
    pub(crate) fn read(&mut self, name: &str, value: &str) -> Option<bool> {
        let understood = match name {
            "canary-by-header" => value.parse().ok().map(|header| self.header = Some(header)),
            "canary-by-header-value" => {
                self.value = Some(value.to_owned());
                Some(())
            }
            "canary-by-header-pattern" => regex(value).map(|pattern| self.pattern = Some(pattern)),
            "canary-by-cookie" => {
                self.cookie = Some(value.to_owned());
                Some(())
            }
            "canary-weight" => value.parse().ok().map(|weight| self.weight = weight),
            "canary-weight-total" => value.parse().ok().filter(|total| *total > 0).map(|total| self.total = total),
            _ => return None,
        };
        Some(understood.is_some())
    }

    /// Whether a request goes to the canary. `roll` is any number, evenly spread.
    pub(crate) fn takes(&self, headers: &HeaderMap, roll: u32) -> bool {
        if let Some(given) = self.header.as_ref().and_then(|name| headers.get(name)).and_then(|value| value.to_str().ok()) {
            match (&self.value, &self.pattern) {
                (Some(value), _) if given == value => return true,
                (None, Some(pattern)) if pattern.is_match(given) => return true,
                (None, None) if given == "always" => return true,
                (None, None) if given == "never" => return false,
                _ => {}
            }
        }
        match self.cookie.as_deref().and_then(|name| cookie(headers, name)) {
            Some("always") => true,
            Some("never") => false,
            _ => roll % self.total < self.weight,
        }
    }
}

/// A regular expression of bounded size.
pub(crate) fn regex(pattern: &str) -> Option<Regex> {
    regex::RegexBuilder::new(pattern).size_limit(1 << 20).build().ok()
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(pairs: &[(&str, &str)]) -> CanaryRules {
        let mut rules = CanaryRules::default();
        for (name, value) in pairs {
            assert_eq!(rules.read(name, value), Some(true), "{name}: {value}");
        }
        rules
    }

    fn takes(rules: &CanaryRules, headers: &[(&'static str, &str)], roll: u32) -> bool {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        rules.takes(&headers, roll)
    }

    #[test]
    fn a_weight_takes_its_share() {
        let share = |rules: &CanaryRules| (0..1000).filter(|roll| takes(rules, &[], *roll)).count();
        assert_eq!(share(&rules(&[])), 0);
        assert_eq!(share(&rules(&[("canary-weight", "20")])), 200);
        assert_eq!(share(&rules(&[("canary-weight", "1"), ("canary-weight-total", "1000")])), 1);
        assert_eq!(share(&rules(&[("canary-weight", "100")])), 1000);
    }

    #[test]
    fn headers_decide_before_cookies_and_cookies_before_the_weight() {
        let all = rules(&[("canary-by-header", "X-Canary"), ("canary-by-cookie", "canary"), ("canary-weight", "50")]);
        type Row<'a> = (&'a [(&'static str, &'a str)], u32, bool);
        let table: [Row<'_>; 9] = [
            (&[("x-canary", "always")], 99, true),
            (&[("x-canary", "never")], 0, false),
            (&[("x-canary", "perhaps")], 0, true),
            (&[("x-canary", "perhaps")], 99, false),
            (&[("cookie", "a=b; canary=always")], 99, true),
            (&[("cookie", "canary=never")], 0, false),
            (&[("cookie", "canary=other")], 0, true),
            (&[("x-canary", "never"), ("cookie", "canary=always")], 0, false),
            (&[("cookie", "xcanary=never")], 0, true),
        ];
        for (headers, roll, expected) in table {
            assert_eq!(takes(&all, headers, roll), expected, "{headers:?} {roll}");
        }
    }

    #[test]
    fn values_and_patterns() {
        let value = rules(&[("canary-by-header", "region"), ("canary-by-header-value", "eu"), ("canary-by-header-pattern", "us.*")]);
        assert!(takes(&value, &[("region", "eu")], 0));
        assert!(!takes(&value, &[("region", "always")], 0), "only the value counts");
        assert!(!takes(&value, &[("region", "us-1")], 0), "a value makes the pattern void");
        let pattern = rules(&[("canary-by-header", "region"), ("canary-by-header-pattern", "^us-[0-9]+$")]);
        assert!(takes(&pattern, &[("region", "us-12")], 0));
        assert!(!takes(&pattern, &[("region", "us-x")], 0));
        assert_eq!(CanaryRules::default().read("canary-by-header-pattern", "("), Some(false));
        assert_eq!(CanaryRules::default().read("other", "("), None);
    }
}
