//! `--sort-by`

use std::cmp::Ordering;

use serde_json::Value;

use super::jsonpath::{Template, relax};

/// Sorts the rows of a table by a path into their objects.
pub fn rows(table: &mut Value, path: &str) -> Result<(), String> {
    let Some(rows) = table.get_mut("rows").and_then(Value::as_array_mut) else { return Ok(()) };
    sort(rows, path, |row| &row["object"])
}

/// Sorts objects by a path.
pub fn objects(objects: &mut [Value], path: &str) -> Result<(), String> {
    sort(objects, path, |object| object)
}

fn sort(items: &mut [Value], path: &str, object: impl Fn(&Value) -> &Value) -> Result<(), String> {
    let path = relax(path)?;
    let template = Template::parse(&path)?;
    let mut keyed = Vec::new();
    for item in items.iter() {
        let found = template.find(object(item))?;
        keyed.push((found.first().and_then(|values| values.first()).map(|value| (*value).clone()), item.clone()));
    }
    if !keyed.is_empty() && keyed.iter().all(|(key, _)| key.is_none()) {
        return Err(format!("couldn't find any field with path {path:?} in the list of objects"));
    }
    keyed.sort_by(|(a, _), (b, _)| compare(a.as_ref(), b.as_ref()));
    items.iter_mut().zip(keyed).for_each(|(item, (_, sorted))| *item = sorted);
    Ok(())
}

fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (None, None) => Ordering::Equal,
        (None, _) => Ordering::Less,
        (_, None) => Ordering::Greater,
        (Some(Value::Number(a)), Some(Value::Number(b))) => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        (Some(Value::String(a)), Some(Value::String(b))) => match (quantity(a), quantity(b)) {
            (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            _ => a.cmp(b),
        },
        (Some(a), Some(b)) => super::go(a).cmp(&super::go(b)),
    }
}

/// The number that a quantity such as `100m` or `2Gi` stands for.
pub fn quantity(text: &str) -> Option<f64> {
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.')? + 1;
    let factor = match &text[end..] {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        _ => return None,
    };
    text[..end].parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_sort_by_what_they_mean() {
        let mut list: Vec<Value> = ["10Mi", "2Gi", "100m", "1"].iter().map(|q| json!({"q": q})).collect();
        objects(&mut list, ".q").unwrap();
        assert_eq!(list.iter().map(|o| o["q"].as_str().unwrap()).collect::<Vec<_>>(), ["100m", "1", "10Mi", "2Gi"]);
        assert_eq!(objects(&mut list, "{.nothing}").unwrap_err(), "couldn't find any field with path \"{.nothing}\" in the list of objects");
        objects(&mut [], ".x").unwrap();
    }
}
