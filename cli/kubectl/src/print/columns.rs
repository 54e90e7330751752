//! `-o custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[*].image`

use serde_json::Value;

use super::go;
use super::jsonpath::{Template, relax};
use super::tabwriter::TabWriter;

/// Columns that the user chose.
#[derive(Debug, Clone)]
pub struct CustomColumns {
    headers: Vec<String>,
    templates: Vec<Template>,
    header_due: bool,
    writer: TabWriter,
}

impl CustomColumns {
    /// From `HEADER:PATH,…`.
    pub fn from_spec(spec: &str, no_headers: bool) -> Result<CustomColumns, String> {
        if spec.is_empty() {
            return Err("custom-columns format specified but no custom columns given".into());
        }
        let (mut headers, mut paths) = (Vec::new(), Vec::new());
        for part in spec.split(',') {
            let (header, path) = part.split_once(':').ok_or_else(|| format!("unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>"))?;
            headers.push(header.to_owned());
            paths.push(relax(path)?);
        }
        CustomColumns::new(headers, &paths, no_headers)
    }

    /// From two lines: headers and paths.
    pub fn from_template(text: &str) -> Result<CustomColumns, String> {
        let line = |at: usize, what: &str| {
            text.lines().nth(at).map(|line| line.split_whitespace().collect::<Vec<_>>()).ok_or_else(|| {
                format!(
                    "invalid template, missing {what} line. Expected format is one line of space separated headers, one line of space separated column specs."
                )
            })
        };
        let (headers, specs) = (line(0, "header")?, line(1, "spec")?);
        if headers.len() != specs.len() {
            return Err(format!("number of headers ({}) and field specifications ({}) don't match", headers.len(), specs.len()));
        }
        let paths = specs.iter().map(|spec| relax(spec)).collect::<Result<Vec<_>, _>>()?;
        CustomColumns::new(headers.into_iter().map(str::to_owned).collect(), &paths, false)
    }

    fn new(headers: Vec<String>, paths: &[String], no_headers: bool) -> Result<CustomColumns, String> {
        let templates = paths.iter().map(|path| Template::parse(path)).collect::<Result<_, _>>()?;
        Ok(CustomColumns { headers, templates, header_due: !no_headers, writer: TabWriter::table() })
    }

    /// The rows of these objects.
    pub fn print(&mut self, objects: &[&Value]) -> Result<String, String> {
        let mut text = String::new();
        if std::mem::take(&mut self.header_due) {
            text.push_str(&self.headers.join("\t"));
            text.push('\n');
        }
        for object in objects {
            let mut cells = Vec::new();
            for template in &self.templates {
                let found = template.find(object)?;
                let mut values: Vec<String> = Vec::new();
                if found.first().is_none_or(Vec::is_empty) {
                    values.push("<none>".into());
                }
                values.extend(found.iter().flatten().map(|value| go(value).replace('\u{1b}', "^[")));
                cells.push(values.join(","));
            }
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
        Ok(self.writer.format(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_the_users() {
        let mut columns = CustomColumns::from_spec("NAME:.metadata.name,X:.spec.x[*],L:metadata.labels", false).unwrap();
        let (a, b) = (json!({"metadata": {"name": "a", "labels": {"b": "c"}}, "spec": {"x": [1, 2]}}), json!({"metadata": {"name": "b"}}));
        assert_eq!(columns.print(&[&a, &b]).unwrap(), "NAME   X        L\na      1,2      map[b:c]\nb      <none>   <none>\n");
        assert!(CustomColumns::from_spec("NAME", false).unwrap_err().starts_with("unexpected custom-columns spec"));
        let mut file = CustomColumns::from_template("NAME  X\nmetadata.name  {.spec.x}\n").unwrap();
        assert_eq!(file.print(&[&a]).unwrap(), "NAME   X\na      [1 2]\n");
    }
}
