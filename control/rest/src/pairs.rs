//! A few names with their values, in one piece of memory: the labels of an object that is kept for long. (A map's node has room for eleven.)

use std::collections::BTreeMap;
use std::fmt;

/// Names and values in the order of the names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Pairs(Box<str>);

impl Pairs {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut parts = self.0.split('\0');
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Pairs {
        let mut text = String::new();
        for (name, value) in pairs {
            // Neither can hold the character that separates them, and none that did would be found.
            text.extend([name, "\0", value, "\0"]);
        }
        Pairs(text.into())
    }
}

impl From<&BTreeMap<String, String>> for Pairs {
    fn from(map: &BTreeMap<String, String>) -> Pairs {
        map.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

impl From<Option<&BTreeMap<String, String>>> for Pairs {
    fn from(map: Option<&BTreeMap<String, String>>) -> Pairs {
        map.map(Pairs::from).unwrap_or_default()
    }
}

impl fmt::Debug for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_by_their_names() {
        let given = [("app", "web"), ("empty", ""), ("tier", "app")];
        let pairs: Pairs = given.into_iter().collect();
        let found: Vec<_> = ["app", "empty", "tier", "web", ""].into_iter().map(|name| pairs.get(name)).collect();
        assert_eq!(found, [Some("web"), Some(""), Some("app"), None, None]);
        assert_eq!(pairs.iter().collect::<Vec<_>>(), given);
        assert!(!pairs.is_empty());
        assert_eq!((Pairs::default().get("app"), Pairs::default().get(""), Pairs::default().iter().count()), (None, None, 0));
    }
}
