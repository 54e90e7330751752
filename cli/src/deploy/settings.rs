//! Configuration from the command line and from files.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The values of a flag that may be repeated. Errors do not quote a value: it may be a secret.
pub(super) fn pairs(flag: &str, values: &[String]) -> Result<BTreeMap<String, String>> {
    values.iter().map(|value| pair(value).map_err(|error| anyhow::anyhow!("{flag}: {error}"))).collect()
}

/// `KEY=VALUE`
fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not of the form KEY=VALUE")?;
    check_key(key)?;
    Ok((key.to_owned(), value.to_owned()))
}

/// What ConfigMaps and Secrets take as a key.
fn check_key(key: &str) -> Result<(), String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let fits = (1..=253).contains(&key.len()) && key.bytes().all(good) && key != "." && !key.starts_with("..");
    if fits { Ok(()) } else { Err(format!("{key:?} is not a key: letters, digits, '-', '_' and '.'")) }
}

/// Reads a file: lines `KEY=VALUE`, or by its ending a flat YAML, JSON or TOML.
pub(super) fn read(file: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    parse(&text, ending).with_context(|| format!("read the configuration {}", file.display()))
}

fn parse(text: &str, ending: &str) -> Result<BTreeMap<String, String>> {
    let tree: Value = match ending {
        "yaml" | "yml" | "json" => serde_yaml::from_str(text)?,
        "toml" => toml::from_str(text)?,
        _ => return lines(text),
    };
    let Value::Object(fields) = tree else { bail!("it is not a map of keys to values") };
    let mut found = BTreeMap::new();
    for (key, value) in fields {
        check_key(&key).map_err(anyhow::Error::msg)?;
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Null => String::new(),
            Value::Array(_) | Value::Object(_) => bail!("the value of {key} is neither text, number nor truth value"),
        };
        found.insert(key, text);
    }
    Ok(found)
}

/// As `kubectl create configmap --from-env-file` reads them: empty lines and those that begin with `#` are passed over.
fn lines(text: &str) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = pair(line).map_err(|error| anyhow::anyhow!("line {}: {error}", number + 1))?;
        found.insert(key, value);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_form() {
        let show = |text: &str, ending: &str| match parse(text, ending) {
            Ok(found) => found.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" "),
            Err(error) => format!("error: {error:#}").lines().next().unwrap_or_default().to_owned(),
        };
        assert_eq!(show("# c\n\nA=1\nB=x = y\n", "env"), "A=1 B=x = y");
        assert_eq!(show("a.b: 1\nc: true\nd: text\n", "yaml"), "a.b=1 c=true d=text");
        assert_eq!(show("{\"a\": 1.5}", "json"), "a=1.5");
        assert_eq!(show("port = 80\nname = \"x\"\n", "toml"), "name=x port=80");
        assert_eq!(show("A\n", ""), "error: line 1: not of the form KEY=VALUE");
        assert_eq!(show("a b=1\n", ""), "error: line 1: \"a b\" is not a key: letters, digits, '-', '_' and '.'");
        assert_eq!(show("a: [1]\n", "yaml"), "error: the value of a is neither text, number nor truth value");
        assert_eq!(show("[1]", "json"), "error: it is not a map of keys to values");
    }
}
