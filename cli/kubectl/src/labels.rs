//! Label selectors and the label arguments of verbs.

use serde_json::Value;

/// Whether labels satisfy a selector such as `a=b,c!=d,e,!f,g in (h,i)`.
pub fn matches(selector: &str, labels: &Value) -> Result<bool, String> {
    for term in terms(selector) {
        let term = term.trim();
        if term.is_empty() {
            continue;
        }
        let label = |key: &str| labels[key.trim()].as_str();
        let holds = if let Some((key, values)) = set(term, " notin ") {
            label(key).is_none_or(|value| !values.contains(&value))
        } else if let Some((key, values)) = set(term, " in ") {
            label(key).is_some_and(|value| values.contains(&value))
        } else if let Some((key, value)) = term.split_once("!=") {
            label(key) != Some(value.trim())
        } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            label(key) == Some(value.trim())
        } else if let Some(key) = term.strip_prefix('!') {
            label(key).is_none()
        } else if term.contains([' ', '(', ')']) {
            return Err(format!("couldn't parse the selector string {selector:?}: unable to parse requirement: found {term:?}"));
        } else {
            label(term).is_some()
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The terms between commas that are not within parentheses.
fn terms(selector: &str) -> Vec<String> {
    let (mut all, mut depth) = (vec![String::new()], 0);
    for c in selector.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                all.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = all.last_mut() {
            last.push(c);
        }
    }
    all
}

fn set<'a>(term: &'a str, word: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let (key, rest) = term.split_once(word)?;
    let inside = rest.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some((key, inside.split(',').map(str::trim).collect()))
}

/// A selector object (`matchLabels`, `matchExpressions`) as a selector string.
pub fn format_selector(selector: &Value) -> String {
    let mut terms: Vec<String> =
        selector["matchLabels"].as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let mut values = crate::discovery::strings(&expression["values"]);
        values.sort();
        terms.push(match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    terms.sort_by(|a, b| a.trim_start_matches('!').cmp(b.trim_start_matches('!')));
    terms.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_select() {
        let labels = json!({"app": "web", "tier": "front"});
        for (selector, holds) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier=front", true),
            ("app!=web", false),
            ("other!=x", true),
            ("app", true),
            ("!app", false),
            ("app in (a, web)", true),
            ("app notin (a,web),tier", false),
            ("nothing", false),
        ] {
            assert_eq!(matches(selector, &labels), Ok(holds), "{selector}");
        }
        assert!(matches("a b", &labels).is_err());
    }

    #[test]
    fn selectors_are_written() {
        let selector = json!({"matchLabels": {"b": "1", "a": "2"}, "matchExpressions": [{"key": "c", "operator": "In", "values": ["z", "y"]}, {"key": "d", "operator": "Exists"}]});
        assert_eq!(format_selector(&selector), "a=2,b=1,c in (y,z),d");
    }
}
