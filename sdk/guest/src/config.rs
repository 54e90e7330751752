//! Configuration, by `wasi:config`: single values, or a struct of them.
//!
//! What a container on Wharf has: the variables of its environment (`env` and `envFrom` of its Pod: ConfigMaps, Secrets),
//! then the files that are mounted at `/etc/config`. The key `page.size` is the variable `page.size`, else `PAGE_SIZE`,
//! else the file `/etc/config/page.size`. A file is read anew each time.
//!
//! ```
//! #[derive(serde::Deserialize)]
//! struct Settings {
//!     title: String,                 // TITLE, or a file: an error where it is missing
//!     page_size: Option<u32>,        // PAGE_SIZE, or none
//!     #[serde(default)]
//!     verbose: bool,                 // VERBOSE: true, false, 1, 0, yes, no, on, off
//!     #[serde(default)]
//!     hosts: Vec<String>,            // HOSTS, with commas between
//!     #[serde(rename = "db.url")]
//!     database: String,              // DB_URL, or the file db.url
//! }
//!
//! # for (name, value) in [("TITLE", "Shop"), ("HOSTS", "a,b"), ("DB_URL", "pg://")] { unsafe { std::env::set_var(name, value) } }
//! let settings: Settings = wharf_sdk::config::load()?;
//! # assert_eq!((settings.title.as_str(), settings.page_size, settings.verbose), ("Shop", None, false));
//! # assert_eq!((settings.hosts.join("+"), settings.database.as_str()), ("a+b".to_owned(), "pg://"));
//! # Ok::<_, wharf_sdk::Error>(())
//! ```

use std::fmt::Display;

use anyhow::{Error, anyhow};
use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The value of a key; `None` where there is none.
pub fn get(key: &str) -> Result<Option<String>, Error> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::wasi::config::store::get(key).map_err(|e| anyhow!("read the configuration: {e:?}"));
    #[cfg(not(target_arch = "wasm32"))]
    Ok(crate::native::variable(key))
}

/// The value of a key; an error that names it where there is none.
pub fn require(key: &str) -> Result<String, Error> {
    get(key)?.ok_or_else(|| anyhow!("configuration: {key} is not set"))
}

/// All keys and values.
pub fn all() -> Result<Vec<(String, String)>, Error> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::wasi::config::store::get_all().map_err(|e| anyhow!("read the configuration: {e:?}"));
    #[cfg(not(target_arch = "wasm32"))]
    Ok(std::env::vars().collect())
}

/// The configuration as a struct: each field is a key. A field that has no value is as serde has it: its `default`, `None`, or
/// an error that names it.
pub fn load<T: DeserializeOwned>() -> Result<T, Error> {
    load_from(&get)
}

type Get<'a> = &'a dyn Fn(&str) -> Result<Option<String>, Error>;

fn load_from<T: DeserializeOwned>(get: Get) -> Result<T, Error> {
    T::deserialize(All(get)).map_err(|Failed(words)| anyhow!("configuration: {words}"))
}

/// The words of what is wrong.
#[derive(Debug)]
struct Failed(String);

impl Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl de::Error for Failed {
    fn custom<T: Display>(words: T) -> Self {
        Failed(words.to_string())
    }
    fn missing_field(field: &'static str) -> Self {
        Failed(format!("{field} is not set"))
    }
}

/// The whole configuration.
struct All<'a>(Get<'a>);

impl<'de> Deserializer<'de> for All<'_> {
    type Error = Failed;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Failed> {
        Err(Failed("only a struct with named fields can be loaded".into()))
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_map(Fields { get: self.0, left: fields.iter(), now: None })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The fields of a struct that have a value.
struct Fields<'a> {
    get: Get<'a>,
    left: std::slice::Iter<'static, &'static str>,
    now: Option<Value>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Failed;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failed> {
        for field in self.left.by_ref() {
            if let Some(text) = (self.get)(field).map_err(|e| Failed(format!("{e:#}")))? {
                self.now = Some(Value { key: (*field).to_owned(), text });
                return seed.deserialize((*field).into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failed> {
        let value = self.now.take().ok_or_else(|| Failed("a value before its key".into()))?;
        let key = value.key.clone();
        seed.deserialize(value).map_err(|Failed(words)| Failed(if words.starts_with(&key) { words } else { format!("{key}: {words}") }))
    }
}

/// The value of a key.
struct Value {
    key: String,
    text: String,
}

impl<'de> IntoDeserializer<'de, Failed> for Value {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
            let number = self.text.trim().parse();
            visitor.$visit(number.map_err(|e| Failed(format!("{}: {:?}: {e}", self.key, self.text)))?)
        })*
    };
}

impl<'de> Deserializer<'de> for Value {
    type Error = Failed;

    numbers!(
        deserialize_i8 visit_i8, deserialize_i16 visit_i16, deserialize_i32 visit_i32, deserialize_i64 visit_i64, deserialize_i128 visit_i128,
        deserialize_u8 visit_u8, deserialize_u16 visit_u16, deserialize_u32 visit_u32, deserialize_u64 visit_u64, deserialize_u128 visit_u128,
        deserialize_f32 visit_f32, deserialize_f64 visit_f64
    );

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_string(self.text)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => visitor.visit_bool(true),
            "false" | "0" | "no" | "off" => visitor.visit_bool(false),
            other => Err(Failed(format!("{}: {other:?} is neither true nor false", self.key))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Failed> {
        let name: StrDeserializer<'_, Failed> = self.text.trim().into_deserializer();
        visitor.visit_enum(name)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        let parts = self.text.split(',').map(str::trim).filter(|part| !part.is_empty());
        visitor.visit_seq(SeqDeserializer::new(parts.map(|part| Value { key: self.key.clone(), text: part.to_owned() })))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value, Failed> {
        self.deserialize_seq(visitor)
    }

    forward_to_deserialize_any! { char str string bytes byte_buf unit unit_struct map struct identifier ignored_any }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Fast,
        Safe,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Settings {
        name: String,
        port: u16,
        #[serde(default)]
        ratio: f64,
        on: Option<bool>,
        mode: Mode,
        #[serde(default)]
        sizes: Vec<u8>,
        range: Option<(i32, i32)>,
    }

    fn load(values: &[(&str, &str)]) -> Result<Settings, String> {
        load_from(&|key| Ok(values.iter().find(|(k, _)| *k == key).map(|(_, v)| (*v).to_owned()))).map_err(|e| e.to_string())
    }

    #[test]
    fn typed() {
        let got = load(&[("name", "a b"), ("port", " 80\n"), ("mode", "safe"), ("sizes", "1, 2,"), ("range", "-1,1"), ("on", "Yes")]).unwrap();
        let expected = Settings { name: "a b".into(), port: 80, ratio: 0.0, on: Some(true), mode: Mode::Safe, sizes: vec![1, 2], range: Some((-1, 1)) };
        assert_eq!(got, expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value, words) in [
            ("port", "", "port is not set"),
            ("port", "x", "port: \"x\": invalid digit found in string"),
            ("port", "70000", "port: \"70000\": number too large to fit in target type"),
            ("on", "maybe", "on: \"maybe\" is neither true nor false"),
            ("mode", "slow", "mode: unknown variant `slow`, expected `fast` or `safe`"),
        ] {
            let mut values = vec![("name", "n"), ("port", "1"), ("mode", "fast")];
            values.retain(|(n, _)| *n != name);
            if !value.is_empty() {
                values.push((name, value));
            }
            assert_eq!(load(&values), Err(format!("configuration: {words}")));
        }
        let failed = load_from::<Settings>(&|_| Err(anyhow!("no disk"))).unwrap_err();
        assert_eq!(failed.to_string(), "configuration: no disk");
        assert!(load_from::<Vec<String>>(&|_| Ok(None)).is_err());
    }
}
