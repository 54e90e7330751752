//! Tables as the server makes them, with the columns that flags add.

use serde_json::{Value, json};

use super::go;
use super::tabwriter::TabWriter;

/// What flags add to a table.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `-o wide`
    pub wide: bool,
    /// `--no-headers`
    pub no_headers: bool,
    /// `--show-labels`
    pub show_labels: bool,
    /// `-L app,tier`
    pub label_columns: Vec<String>,
    /// A column of namespaces.
    pub with_namespace: bool,
    /// `deployment.apps/` before each name, where several kinds are shown.
    pub kind: Option<String>,
}

/// Prints tables of one kind, one after the other; the header comes once.
#[derive(Debug)]
pub struct TablePrinter {
    options: Options,
    last_columns: Value,
    header_printed: bool,
    writer: TabWriter,
}

impl TablePrinter {
    /// For one kind.
    pub fn new(options: Options) -> TablePrinter {
        TablePrinter { options, last_columns: Value::Null, header_printed: false, writer: TabWriter::table() }
    }

    /// The table's text, aligned; `event` is the kind of a watch event, where those are shown.
    pub fn print(&mut self, table: &Value, event: Option<&str>) -> String {
        let text = self.rows(table, event);
        self.writer.format(&text)
    }

    fn rows(&mut self, table: &Value, event: Option<&str>) -> String {
        let given = &table["columnDefinitions"];
        let none = given.as_array().is_none_or(Vec::is_empty);
        let mut no_headers = self.options.no_headers || (self.header_printed && (none || *given == self.last_columns));
        if !none && *given != self.last_columns {
            self.last_columns = given.clone();
            self.header_printed = false;
            no_headers = self.options.no_headers;
        }
        let rows = table["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        if rows.is_empty() {
            return String::new();
        }
        self.header_printed = true;
        let columns = self.last_columns.as_array().cloned().unwrap_or_default();
        let shown: Vec<usize> = (0..columns.len()).filter(|at| self.options.wide || columns[*at]["priority"].as_i64().unwrap_or(0) == 0).collect();
        let name_column = columns.iter().position(|c| c["format"] == "name" && c["type"] == "string");
        let mut text = String::new();
        if !no_headers {
            let mut header: Vec<String> = Vec::new();
            header.extend(event.map(|_| "EVENT".to_owned()));
            header.extend(self.options.with_namespace.then(|| "NAMESPACE".to_owned()));
            header.extend(shown.iter().map(|at| columns[*at]["name"].as_str().unwrap_or_default().to_uppercase()));
            header.extend(self.options.label_columns.iter().map(|label| label.rsplit('/').next().unwrap_or(label).to_uppercase()));
            header.extend(self.options.show_labels.then(|| "LABELS".to_owned()));
            text.push_str(&header.join("\t"));
            text.push('\n');
        }
        for row in rows {
            let metadata = &row["object"]["metadata"];
            let mut cells: Vec<String> = Vec::new();
            cells.extend(event.map(event_name));
            cells.extend(self.options.with_namespace.then(|| metadata["namespace"].as_str().unwrap_or_default().to_owned()));
            for at in &shown {
                let cell = &row["cells"][*at];
                let mut value = if cell.is_null() { String::new() } else { go(cell) };
                if let (Some(kind), true) = (&self.options.kind, name_column == Some(*at)) {
                    value = format!("{kind}/{value}");
                }
                cells.push(one_line(&value));
            }
            cells.extend(self.options.label_columns.iter().map(|label| metadata["labels"][label.as_str()].as_str().unwrap_or_default().to_owned()));
            cells.extend(self.options.show_labels.then(|| labels(&metadata["labels"])));
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
        text
    }
}

/// A cell is one line: what follows a line break is left out.
fn one_line(value: &str) -> String {
    let cut = match value.find(['\n', '\r', '\u{c}']) {
        Some(at) => format!("{}...", &value[..at]),
        None => value.to_owned(),
    };
    cut.replace('\u{1b}', "^[")
}

fn event_name(event: &str) -> String {
    match event {
        "ADDED" => "ADDED   ".into(),
        "DELETED" => "DELETED ".into(),
        "ERROR" => "ERROR   ".into(),
        other => other.into(),
    }
}

/// `a=b,c=d`, or `<none>`.
pub fn labels(labels: &Value) -> String {
    match labels.as_object().filter(|map| !map.is_empty()) {
        Some(map) => map.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect::<Vec<_>>().join(","),
        None => "<none>".into(),
    }
}

/// Objects of a server that makes no tables: their names and ages.
pub fn fallback(objects: &[Value], now: jiff::Timestamp) -> Value {
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let metadata = &object["metadata"];
            let age = super::age::since(metadata["creationTimestamp"].as_str().unwrap_or_default(), now);
            json!({"cells": [metadata["name"], age], "object": {"metadata": metadata}})
        })
        .collect();
    json!({"columnDefinitions": [{"name": "Name", "type": "string", "format": "name"}, {"name": "Age", "type": "string"}], "rows": rows})
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn table() -> Value {
        json!({
            "columnDefinitions": [{"name": "Name", "type": "string", "format": "name"}, {"name": "Ready", "type": "string"}, {"name": "IP", "type": "string", "priority": 1}],
            "rows": [
                {"cells": ["a", "1/1", "10.0.0.1"], "object": {"metadata": {"name": "a", "namespace": "n", "labels": {"app": "x", "example.dev/tier": "y"}}}},
                {"cells": ["b", "two\nlines", null], "object": {"metadata": {"name": "b", "namespace": "n"}}},
            ],
        })
    }

    fn check(options: Options, expect: Expect) {
        expect.assert_eq(&TablePrinter::new(options).print(&table(), None));
    }

    #[test]
    fn columns_come_and_go_with_flags() {
        check(
            Options::default(),
            expect![[r"
            NAME   READY
            a      1/1
            b      two...
        "]],
        );
        check(
            Options { wide: true, with_namespace: true, ..Options::default() },
            expect![[r"
            NAMESPACE   NAME   READY    IP
            n           a      1/1      10.0.0.1
            n           b      two...   
        "]],
        );
        check(
            Options { show_labels: true, label_columns: vec!["example.dev/tier".into()], no_headers: true, kind: Some("pod".into()), ..Options::default() },
            expect![[r"
            pod/a   1/1      y     app=x,example.dev/tier=y
            pod/b   two...         <none>
        "]],
        );
    }

    #[test]
    fn a_watch_has_one_header() {
        let mut printer = TablePrinter::new(Options::default());
        assert_eq!(printer.print(&table(), Some("ADDED")).lines().count(), 3);
        let next = json!({"columnDefinitions": [], "rows": [{"cells": ["a", "0/1", ""]}]});
        assert_eq!(printer.print(&next, Some("MODIFIED")), "MODIFIED   a      0/1\n");
    }
}
