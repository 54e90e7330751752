//! The tables that `kubectl get` prints (`meta.k8s.io/v1 Table`).

use std::borrow::Cow;

use serde_json::Value;

/// What a column is, as in `TableColumnDefinition`.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Heading, as in `Name`, `Nominated Node`; kubectl prints it in capitals.
    pub name: Cow<'static, str>,
    /// OpenAPI type: `string`, `integer`, `boolean`, `date`.
    pub kind: &'static str,
    /// OpenAPI format; `name` marks the primary identifier.
    pub format: &'static str,
    /// The upstream's description.
    pub description: Cow<'static, str>,
    /// 0 is always shown; higher only with `-o wide`.
    pub priority: i32,
}

impl Column {
    /// A column that is always shown.
    pub const fn new(name: &'static str, kind: &'static str, description: &'static str) -> Column {
        Column { name: Cow::Borrowed(name), kind, format: "", description: Cow::Borrowed(description), priority: 0 }
    }

    /// Shown only with `-o wide`.
    #[must_use]
    pub const fn wide(mut self) -> Column {
        self.priority = 1;
        self
    }

    /// The column that holds the object's name.
    #[must_use]
    pub const fn name_format(mut self) -> Column {
        self.format = "name";
        self
    }
}

/// When a table is made: ages and durations are counted to this moment.
#[derive(Clone, Copy, Debug)]
pub struct Now(pub jiff::Timestamp);

/// The columns of a kind and how a row is made.
pub struct Columns<O> {
    /// Column definitions, in order.
    pub columns: Vec<Column>,
    /// The cells of one object, as many as there are columns.
    pub row: fn(&O, Now) -> Vec<Value>,
}
