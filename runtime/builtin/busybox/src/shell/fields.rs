//! Fields in the making: what a word becomes, split and ready to be matched against file names.

use super::pattern::escape;

#[derive(Default, Debug)]
pub struct Field {
    pub text: String,
    /// The field as a pattern, where it holds an unquoted `*`, `?` or `[`.
    pub pattern: Option<String>,
}

impl Field {
    /// As a pattern, whatever is in it.
    pub fn into_pattern(self) -> String {
        self.pattern.unwrap_or_else(|| {
            let mut pattern = String::new();
            escape(&self.text, &mut pattern);
            pattern
        })
    }
}

#[derive(Default)]
pub struct Fields {
    pub done: Vec<Field>,
    open: Option<Field>,
    /// The last field was closed by white space: a delimiter may still follow.
    spaced: bool,
}

impl Fields {
    /// There is a field, even if nothing comes.
    pub fn touch(&mut self) -> &mut Field {
        self.open.get_or_insert_default()
    }

    pub fn close(&mut self) {
        self.done.extend(self.open.take());
    }

    pub fn quoted(&mut self, text: &str) {
        let field = self.touch();
        field.text.push_str(text);
        if let Some(pattern) = &mut field.pattern {
            escape(text, pattern);
        }
    }

    pub fn unquoted(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let field = self.touch();
        if field.pattern.is_none() && text.contains(['*', '?', '[']) {
            let mut pattern = String::new();
            escape(&field.text, &mut pattern);
            field.pattern = Some(pattern);
        }
        field.text.push_str(text);
        if let Some(pattern) = &mut field.pattern {
            pattern.push_str(&text.replace('\\', "\\\\"));
        }
    }

    /// Unquoted text that is split at IFS.
    pub fn split(&mut self, text: &str, ifs: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|c| ifs.contains(c)).unwrap_or(rest.len());
            if end > 0 {
                self.unquoted(&rest[..end]);
                self.spaced = false;
            }
            let mut behind = rest[end..].chars();
            if let Some(delimiter) = behind.next() {
                if matches!(delimiter, ' ' | '\t' | '\n') {
                    self.spaced |= self.open.is_some();
                    self.close();
                } else {
                    // White space around a delimiter belongs to it.
                    if self.open.is_none() && !self.spaced {
                        self.touch();
                    }
                    self.close();
                    self.spaced = false;
                }
            }
            rest = behind.as_str();
        }
    }

    pub fn finish(mut self) -> Vec<Field> {
        self.close();
        self.done
    }

    /// All as one text.
    pub fn into_text(self) -> String {
        let fields = self.finish();
        let mut texts = fields.into_iter().map(|field| field.text);
        let first = texts.next().unwrap_or_default();
        texts.fold(first, |all, text| all + " " + &text)
    }
}
