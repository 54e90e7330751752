//! Normal forms: where Kubernetes does not tell an empty text, a zero or `false` from nothing, objects are kept with nothing.

/// Sets a field that is absent or has the empty value of its type.
pub(crate) fn fill<T: Empty>(field: &mut Option<T>, value: impl Into<T>) {
    if field.as_ref().is_none_or(Empty::fillable) {
        *field = Some(value.into());
    }
}

/// Types of optional fields, with what counts as absent when a default is filled in.
pub(crate) trait Empty {
    /// Whether a default takes this value's place.
    fn fillable(&self) -> bool;
}

impl Empty for String {
    fn fillable(&self) -> bool {
        self.is_empty()
    }
}

macro_rules! never_empty {
    ($($t:ty),*) => {$(
        impl Empty for $t {
            fn fillable(&self) -> bool {
                false
            }
        }
    )*};
}
never_empty!(i32, i64, bool);

/// Whether a text is absent or empty.
pub(crate) fn is_empty(text: &Option<String>) -> bool {
    text.as_ref().is_none_or(String::is_empty)
}

/// The text, empty if absent.
pub(crate) fn text(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

/// Makes an empty text absent.
pub(crate) fn drop_empty(text: &mut Option<String>) {
    if is_empty(text) {
        *text = None;
    }
}

/// Makes `false` absent.
pub(crate) fn drop_false(switch: &mut Option<bool>) {
    if *switch == Some(false) {
        *switch = None;
    }
}

/// Makes 0 absent.
pub(crate) fn drop_zero(number: &mut Option<i32>) {
    if *number == Some(0) {
        *number = None;
    }
}
