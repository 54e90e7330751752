//! The shapes of names, labels, annotations and keys. Every check returns what is wrong, in Kubernetes' words; nothing means that all is well.

const LABEL_63: usize = 63;
const SUBDOMAIN_253: usize = 253;

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035_LABEL: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_NAME_WORDS: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// `must be non-empty`
pub const EMPTY: &str = "must be non-empty";

/// A label of RFC 1123: lower case letters, digits and `-`; at most 63 characters.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > LABEL_63 {
        errors.push(max_length(LABEL_63));
    }
    if !is_dns_label(text, is_lower_or_digit) {
        let words =
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
        errors.push(pattern(words, DNS1123_LABEL, &["my-name", "123-abc"]));
    }
    errors
}

/// A subdomain of RFC 1123: labels joined with dots; at most 253 characters.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > SUBDOMAIN_253 {
        errors.push(max_length(SUBDOMAIN_253));
    }
    if !is_dns_subdomain(text) {
        let words = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
        errors.push(pattern(words, DNS1123_SUBDOMAIN, &["example.com"]));
    }
    errors
}

/// A subdomain behind `*.`.
pub fn wildcard_dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > SUBDOMAIN_253 {
        errors.push(max_length(SUBDOMAIN_253));
    }
    if !text.strip_prefix("*.").is_some_and(is_dns_subdomain) {
        let words = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
        errors.push(pattern(words, &format!("\\*\\.{DNS1123_SUBDOMAIN}"), &["*.example.com"]));
    }
    errors
}

/// A label of RFC 1035: as of RFC 1123, but it begins with a letter.
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > LABEL_63 {
        errors.push(max_length(LABEL_63));
    }
    if !(is_dns_label(text, is_lower_or_digit) && text.starts_with(|c: char| c.is_ascii_lowercase())) {
        let words = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
        errors.push(pattern(words, DNS1035_LABEL, &["my-name", "abc-123"]));
    }
    errors
}

/// `name` or `example.com/name`: keys of labels and annotations, finalizers, resource names.
pub fn qualified_name(text: &str) -> Vec<String> {
    let parts: Vec<&str> = text.split('/').collect();
    let mut errors = Vec::new();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push(format!("prefix part {EMPTY}"));
            } else {
                errors.extend(dns1123_subdomain(prefix).into_iter().map(|e| format!("prefix part {e}")));
            }
            *name
        }
        _ => {
            let words = pattern(QUALIFIED_NAME_WORDS, QUALIFIED_NAME, &["MyName", "my.name", "123-abc"]);
            return vec![format!("a qualified name {words} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")];
        }
    };
    if name.is_empty() {
        errors.push(format!("name part {EMPTY}"));
    } else if name.len() > LABEL_63 {
        errors.push(format!("name part {}", max_length(LABEL_63)));
    }
    if !is_qualified(name) {
        errors.push(format!("name part {}", pattern(QUALIFIED_NAME_WORDS, QUALIFIED_NAME, &["MyName", "my.name", "123-abc"])));
    }
    errors
}

/// The value of a label: empty, or as the name part of a qualified name.
pub fn label_value(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > LABEL_63 {
        errors.push(max_length(LABEL_63));
    }
    if !text.is_empty() && !is_qualified(text) {
        let words = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
        errors.push(pattern(words, &format!("({QUALIFIED_NAME})?"), &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// The name of an environment variable.
pub fn env_var_name(text: &str) -> Vec<String> {
    if text.is_empty() || !text.chars().all(|c| (' '..='~').contains(&c) && c != '=') {
        return vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()];
    }
    Vec::new()
}

/// A key of a ConfigMap or Secret, which may become a file name.
pub fn config_map_key(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > SUBDOMAIN_253 {
        errors.push(max_length(SUBDOMAIN_253));
    }
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        let words = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        errors.push(pattern(words, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    match text {
        "." => errors.push("must not be '.'".to_owned()),
        ".." => errors.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => errors.push("must not start with '..'".to_owned()),
        _ => {}
    }
    errors
}

/// The name of a port (IANA service name): at most 15 of lower case letters, digits and `-`, with a letter among them.
pub fn port_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 15 {
        errors.push(max_length(15));
    }
    if text.is_empty() || !text.chars().all(|c| is_lower_or_digit(c) || c == '-') {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !text.chars().any(|c| c.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// A port: 1 to 65535.
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { Vec::new() } else { vec!["must be between 1 and 65535, inclusive".to_owned()] }
}

/// The name of an HTTP header.
pub fn http_header_name(text: &str) -> Vec<String> {
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return vec![pattern("a valid HTTP header must consist of alphanumeric characters or '-'", "[-A-Za-z0-9]+", &["X-Header-Name"])];
    }
    Vec::new()
}

/// `5%`: an integer and a percent sign.
pub fn percent(text: &str) -> Vec<String> {
    let digits = text.strip_suffix('%').unwrap_or("");
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
        return vec![pattern("a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%", &["1%", "93%"])];
    }
    Vec::new()
}

/// A segment of a URL path: RBAC's names.
pub fn path_segment(text: &str) -> Vec<String> {
    if matches!(text, "." | "..") {
        return vec![format!("may not be '{text}'")];
    }
    path_segment_prefix(text)
}

/// The same for a prefix of one.
pub fn path_segment_prefix(text: &str) -> Vec<String> {
    ["/", "%"].into_iter().filter(|c| text.contains(c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// `must be no more than N characters`
pub fn max_length(length: usize) -> String {
    format!("must be no more than {length} characters")
}

/// Words, examples and the pattern that was not met.
pub fn pattern(words: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{words} (regex used for validation is '{pattern}')");
    }
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{words} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "))
}

fn is_lower_or_digit(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_dns_label(text: &str, end: fn(char) -> bool) -> bool {
    text.starts_with(end) && text.ends_with(end) && text.chars().all(|c| is_lower_or_digit(c) || c == '-')
}

fn is_dns_subdomain(text: &str) -> bool {
    text.split('.').all(|label| is_dns_label(label, is_lower_or_digit))
}

fn is_qualified(text: &str) -> bool {
    let end = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(end) && text.ends_with(end) && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted() {
        for name in ["a", "a-b", "0", &"a".repeat(63)] {
            assert_eq!(dns1123_label(name), Vec::<String>::new());
        }
        for name in ["a.b", "a-b.c", &"a".repeat(253)] {
            assert_eq!(dns1123_subdomain(name), Vec::<String>::new());
        }
        for name in ["a", "A_b.c", "example.com/A", &format!("{}/{}", "a".repeat(253), "b".repeat(63))] {
            assert_eq!(qualified_name(name), Vec::<String>::new());
        }
        assert!(label_value("").is_empty() && label_value("a_B").is_empty());
        assert!(port_name("http-2").is_empty() && config_map_key("a.b_C-").is_empty() && percent("25%").is_empty());
        assert!(wildcard_dns1123_subdomain("*.a.b").is_empty() && env_var_name("a b-C.1").is_empty());
    }

    #[test]
    fn refused() {
        let table: Vec<(Vec<String>, &str)> = vec![
            (
                dns1123_label("C!"),
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            ),
            (
                dns1123_subdomain("Not_A"),
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ),
            (dns1123_subdomain(&"a".repeat(254)), "must be no more than 253 characters"),
            (
                qualified_name("a b"),
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ),
            (qualified_name("/a"), "prefix part must be non-empty"),
            (
                label_value("-"),
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ),
            (
                dns1035_label("1a"),
                "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ),
            (port_name("80"), "must contain at least one letter (a-z)"),
            (port_number(0), "must be between 1 and 65535, inclusive"),
            (config_map_key("..x"), "must not start with '..'"),
        ];
        for (errors, words) in table {
            assert_eq!(errors, [words]);
        }
        for bad in ["", "-a", "a-", "a..b", ".a", "a.", "é"] {
            assert_eq!(dns1123_subdomain(bad).len(), 1, "{bad}");
        }
    }
}
