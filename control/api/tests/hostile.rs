//! Objects that make no sense panic nowhere: what users send goes through all of a kind's code before anything is refused.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};
use wharf_api::decode::{FieldValidation, decode_value};
use wharf_api::registry::Registry;
use wharf_api::table::Now;
use wharf_api::types::{Type, Types};

/// Texts that parsers stumble over.
const TEXTS: &[&str] = &[
    "",
    "a",
    "-",
    "é",
    "日本",
    "\u{0}",
    " ",
    "/",
    "//",
    "a/b/c",
    "..",
    "*",
    "*.",
    "*.a",
    "%",
    "100%",
    "-1%",
    "99999999999999999999%",
    "=",
    "!",
    "(",
    "a in (",
    ":",
    "::",
    "[::1]",
    "1.2.3.4",
    "256.1.1.1",
    "10.0.0.0/33",
    "10.0.0.0/8",
    "fe80::1/64",
    "None",
    "0",
    "-0",
    "1e999999999",
    "1Ei",
    "0.0000000001",
    "9223372036854775808",
    "TCP",
    "ClusterIP",
    "NodePort",
    "LoadBalancer",
    "ExternalName",
    "Recreate",
    "RollingUpdate",
    "Always",
    "Never",
    "OnFailure",
    "* * * * *",
    "*/0 * * * *",
    "60 24 32 13 8",
    "1-0/0 * * * *",
    "@every 1h",
    "@",
    "TZ=x * * * * *",
    "2026-02-30T00:00:00Z",
    "v1",
    "/v1",
    "a/",
    "$(A)",
    "$$",
    "https://",
    "http://[",
    "unix:///x",
    "x509",
    "kubernetes.io/x",
    "Indexed",
    "NonIndexed",
    "0-1,3-",
    "object",
    "array",
    "string",
    "{}",
    "[",
    "-----BEGIN CERTIFICATE-----",
];

const NUMBERS: &[i64] = &[0, 1, -1, 2, 80, 100, 65535, 65536, 30000, i32::MAX as i64, i32::MIN as i64, i64::MAX, i64::MIN, 600];

struct Maker<'a> {
    types: &'a Types,
    random: StdRng,
}

impl Maker<'_> {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())]
    }

    fn text(&mut self) -> String {
        match self.random.random_range(0..20) {
            0 => "x".repeat(300),
            1 => format!("{}{}", self.pick(TEXTS), self.pick(TEXTS)),
            _ => self.pick(TEXTS).to_owned(),
        }
    }

    fn value(&mut self, ty: &Type, depth: usize) -> Value {
        match ty {
            Type::Any => self.pick(&[0, 1, 2]).into(),
            Type::String => self.text().into(),
            Type::Bytes => self.pick(&["", "eA==", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K"]).into(),
            Type::Time => self.pick(&["2026-01-01T00:00:00Z", "-009999-01-02T01:59:59Z", "9999-12-30T22:00:00Z", "1970-01-01T00:00:00.5Z"]).into(),
            Type::Boolean => self.random.random::<bool>().into(),
            Type::Integer { bits: 32 } => i32::try_from(self.pick(NUMBERS)).unwrap_or(7).into(),
            Type::Integer { .. } => self.pick(NUMBERS).into(),
            Type::Number => json!(self.pick(&[0.0, -1.5, 1e300])),
            Type::IntOrString if self.random.random() => i32::try_from(self.pick(NUMBERS)).unwrap_or(7).into(),
            Type::IntOrString => self.text().into(),
            Type::Quantity => {
                self.pick(&["0", "1", "-1", "1e99", "1Ei", "99999999999999999999Ei", "0.0000000001", "-9223372036854775808", "100m", "1Ki"]).into()
            }
            Type::List(inner) => {
                let count = if depth > 9 { 0 } else { self.random.random_range(0..3) };
                (0..count).map(|_| self.value(inner, depth + 1)).collect()
            }
            Type::Map(inner) => {
                let count = if depth > 9 { 0 } else { self.random.random_range(0..3) };
                Value::Object((0..count).map(|_| (self.text(), self.value(inner, depth + 1))).collect())
            }
            Type::Struct(id) => {
                let mut map = Map::new();
                if depth > 9 {
                    return Value::Object(map);
                }
                let types = self.types;
                // The deeper, the fewer: it has to end.
                let fields = u32::try_from(types.get(*id).fields.len()).unwrap_or(u32::MAX).max(1);
                let (of, all) = if depth < 3 { (7, 10) } else { (5, fields.saturating_mul(2).max(6)) };
                for field in &types.get(*id).fields {
                    if self.random.random_ratio(of, all) {
                        map.insert(field.name.clone(), self.value(&field.ty, depth + 1));
                    }
                }
                Value::Object(map)
            }
        }
    }
}

#[test]
fn nonsense_of_every_kind_panics_nowhere() {
    let registry = Registry::new(wharf_api::kinds::all());
    let number = |name: &str, default| std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(default);
    let (seed, rounds) = (number("SEED", 1), number("ROUNDS", 12));
    let mut maker = Maker { types: registry.types(), random: StdRng::seed_from_u64(seed) };
    let (mut read, mut all) = (0, 0);
    for resource in registry.resources() {
        let kind = &resource.kind;
        let mut old: Option<Box<dyn wharf_api::DynObject>> = None;
        for round in 0..rounds {
            let mut value = maker.value(&resource.ty, 0);
            for (name, text) in [("apiVersion", &resource.info().api_version), ("kind", &resource.info().kind)] {
                value[name] = (&**text).into();
            }
            all += 1;
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let now = Now("2026-01-01T00:00:00Z".parse().unwrap());
                let mut object = decode_value(resource, &value, FieldValidation::Warn).ok()?.object;
                kind.default(&mut *object);
                kind.selectable_fields(&*object);
                kind.row(&*object, now);
                kind.validate(&*object);
                if let Some(old) = &old {
                    let mut new = object.clone_box();
                    kind.prepare_update(&mut *new, &**old);
                    kind.validate_update(&*new, &**old);
                    let mut new = object.clone_box();
                    kind.prepare_status_update(&mut *new, &**old);
                    kind.validate_status_update(&*new, &**old);
                }
                kind.prepare_create(&mut *object);
                kind.row(&*object, now);
                Some(object)
            }));
            match tried {
                Ok(Some(object)) => {
                    read += 1;
                    old = Some(object);
                }
                Ok(None) => {}
                Err(_) => panic!("{} round {round}: {value}", resource.definition),
            }
        }
    }
    assert!(read * 2 > all, "too little of it was read to say anything: {read} of {all}");
}
