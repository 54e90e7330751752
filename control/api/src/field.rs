//! Validation errors of single fields, in the words of Kubernetes' `field.Error`.

use std::fmt;

/// Where in an object a value stands, such as `spec.containers[0].ports[1].name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(String);

impl Path {
    /// A path of one field.
    pub fn new(field: &str) -> Path {
        Path(field.to_owned())
    }

    /// The path of `field` inside this value. Several fields may be given joined with dots.
    #[must_use]
    pub fn child(&self, field: &str) -> Path {
        if self.0.is_empty() { Path(field.to_owned()) } else { Path(format!("{}.{field}", self.0)) }
    }

    /// The path of an element of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Path {
        Path(format!("{}[{index}]", self.0))
    }

    /// The path of a value of this map.
    #[must_use]
    pub fn key(&self, key: &str) -> Path {
        Path(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// What is wrong with a field. Kubernetes' `field.ErrorType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum ErrorType {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    Internal,
    TypeInvalid,
}

impl ErrorType {
    /// The `reason` of a `StatusCause`.
    pub fn reason(self) -> &'static str {
        match self {
            ErrorType::NotFound => "FieldValueNotFound",
            ErrorType::Required => "FieldValueRequired",
            ErrorType::Duplicate => "FieldValueDuplicate",
            ErrorType::Invalid => "FieldValueInvalid",
            ErrorType::NotSupported => "FieldValueNotSupported",
            ErrorType::Forbidden => "FieldValueForbidden",
            ErrorType::TooLong => "FieldValueTooLong",
            ErrorType::TooMany => "FieldValueTooMany",
            ErrorType::Internal => "InternalError",
            ErrorType::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            ErrorType::NotFound => "Not found",
            ErrorType::Required => "Required value",
            ErrorType::Duplicate => "Duplicate value",
            ErrorType::Invalid | ErrorType::TypeInvalid => "Invalid value",
            ErrorType::NotSupported => "Unsupported value",
            ErrorType::Forbidden => "Forbidden",
            ErrorType::TooLong => "Too long",
            ErrorType::TooMany => "Too many",
            ErrorType::Internal => "Internal error",
        }
    }
}

/// One refusal. [`Error::body`] is the text behind the path; `Display` has the path in front.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorType,
    /// Where.
    pub path: Path,
    /// The refused value as Kubernetes prints it (`"quoted"` text, plain numbers, JSON), empty where none is printed.
    pub value: String,
    /// Why, empty where the type says all.
    pub detail: String,
}

impl Error {
    fn new(kind: ErrorType, path: &Path, value: String, detail: impl Into<String>) -> Error {
        Error { kind, path: path.clone(), value, detail: detail.into() }
    }

    /// `path: Required value: detail`
    pub fn required(path: &Path, detail: impl Into<String>) -> Error {
        Error::new(ErrorType::Required, path, String::new(), detail)
    }

    /// `path: Invalid value: "value": detail`
    pub fn invalid(path: &Path, value: impl Printed, detail: impl Into<String>) -> Error {
        Error::new(ErrorType::Invalid, path, value.printed(), detail)
    }

    /// `path: Duplicate value: "value"`
    pub fn duplicate(path: &Path, value: impl Printed) -> Error {
        Error::new(ErrorType::Duplicate, path, value.printed(), "")
    }

    /// `path: Not found: "value"`
    pub fn not_found(path: &Path, value: impl Printed) -> Error {
        Error::new(ErrorType::NotFound, path, value.printed(), "")
    }

    /// `path: Forbidden: detail`
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Error {
        Error::new(ErrorType::Forbidden, path, String::new(), detail)
    }

    /// `path: Unsupported value: "value": supported values: "a", "b"`
    pub fn not_supported(path: &Path, value: impl Printed, supported: &[&str]) -> Error {
        let quoted: Vec<String> = supported.iter().map(|s| quoted(s)).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Error::new(ErrorType::NotSupported, path, value.printed(), detail)
    }

    /// `path: Too long: may not be more than N bytes`
    pub fn too_long(path: &Path, max_bytes: usize) -> Error {
        Error::new(ErrorType::TooLong, path, String::new(), format!("may not be more than {max_bytes} bytes"))
    }

    /// `path: Too many: N: must have at most M items`
    pub fn too_many(path: &Path, actual: usize, max: usize) -> Error {
        let unit = if max == 1 { "item" } else { "items" };
        Error::new(ErrorType::TooMany, path, actual.to_string(), format!("must have at most {max} {unit}"))
    }

    /// The message of a `StatusCause`: everything but the path.
    pub fn body(&self) -> String {
        let mut out = self.kind.words().to_owned();
        if !self.value.is_empty() {
            out = format!("{out}: {}", self.value);
        }
        if !self.detail.is_empty() {
            out = format!("{out}: {}", self.detail);
        }
        out
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

/// All that is wrong with an object, in the order it was found.
pub type Errors = Vec<Error>;

/// How a refused value is printed in an error: text quoted, numbers and booleans plain, the rest as JSON.
pub trait Printed {
    /// The printed form.
    fn printed(&self) -> String;
}

impl Printed for str {
    fn printed(&self) -> String {
        quoted(self)
    }
}

impl Printed for String {
    fn printed(&self) -> String {
        self.as_str().printed()
    }
}

macro_rules! printed_plain {
    ($($t:ty),*) => {$(
        impl Printed for $t {
            fn printed(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
printed_plain!(i32, i64, u16, u32, u64, usize, f64, bool);

impl Printed for serde_json::Value {
    fn printed(&self) -> String {
        match self {
            serde_json::Value::String(text) => quoted(text),
            other => html_safe(&other.to_string()),
        }
    }
}

impl<T: Printed> Printed for Option<T> {
    fn printed(&self) -> String {
        self.as_ref().map_or_else(|| "null".to_owned(), Printed::printed)
    }
}

impl<T: Printed + ?Sized> Printed for &T {
    fn printed(&self) -> String {
        (**self).printed()
    }
}

/// Any value that has a JSON form, printed as Kubernetes prints structs and lists in an error.
pub fn printed_json(value: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Text in double quotes, escaped as Go's `%q` does.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() || (c.is_whitespace() && c != ' ') => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// JSON as Go's encoder writes it: `<`, `>` and `&` escaped.
pub(crate) fn html_safe(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_kubernetes_writes_them() {
        let at = Path::new("spec").child("ports").index(1).child("name");
        let table = [
            (Error::required(&at, "why"), r#"spec.ports[1].name: Required value: why"#),
            (Error::invalid(&at, 7, "must be 1"), r#"spec.ports[1].name: Invalid value: 7: must be 1"#),
            (Error::invalid(&at, serde_json::json!({"a": "<b>"}), "no"), r#"spec.ports[1].name: Invalid value: {"a":"\u003cb\u003e"}: no"#),
            (Error::invalid(&at, Option::<i32>::None, "no"), r#"spec.ports[1].name: Invalid value: null: no"#),
            (Error::duplicate(&at, "x"), r#"spec.ports[1].name: Duplicate value: "x""#),
            (Error::not_supported(&at, "x", &["A", "B"]), r#"spec.ports[1].name: Unsupported value: "x": supported values: "A", "B""#),
            (Error::too_long(&at, 3), "spec.ports[1].name: Too long: may not be more than 3 bytes"),
            (Error::too_many(&at, 3, 1), "spec.ports[1].name: Too many: 3: must have at most 1 item"),
            (Error::invalid(&Path::default(), "", ""), r#"<nil>: Invalid value: """#),
        ];
        for (error, text) in table {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn quotes_as_go_does() {
        assert_eq!(quoted("a'\"\\\n\u{1}é\u{a0}"), r#""a'\"\\\n\x01é\u00a0""#);
    }
}
