//! What stands for the host in tests on the machine itself.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Runs a future to its end. Nothing is waited for here, so it never waits for long.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
        std::thread::yield_now();
    }
}

/// As the host looks for a key: the variable of that name, else that of its name in capitals.
pub(crate) fn variable(key: &str) -> Option<String> {
    let capitals: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    std::env::var(key).or_else(|_| std::env::var(capitals)).ok()
}

/// Buckets in memory, each thread (and so each test) with its own.
pub(crate) mod keyvalue {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        static VALUES: RefCell<BTreeMap<(String, String), Vec<u8>>> = RefCell::default();
    }

    pub(crate) struct Bucket(String);

    pub(crate) struct Keys {
        pub(crate) keys: Vec<String>,
        pub(crate) cursor: Option<String>,
    }

    type Pair = (String, Vec<u8>);

    pub(crate) fn open(name: &str) -> Result<Bucket, String> {
        Ok(Bucket(name.to_owned()))
    }

    impl Bucket {
        fn at(&self, key: &str) -> (String, String) {
            (self.0.clone(), key.to_owned())
        }
        pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
            Ok(VALUES.with_borrow(|v| v.get(&self.at(key)).cloned()))
        }
        pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), String> {
            VALUES.with_borrow_mut(|v| v.insert(self.at(key), value.to_vec()));
            Ok(())
        }
        pub(crate) fn delete(&self, key: &str) -> Result<(), String> {
            VALUES.with_borrow_mut(|v| v.remove(&self.at(key)));
            Ok(())
        }
        pub(crate) fn exists(&self, key: &str) -> Result<bool, String> {
            self.get(key).map(|v| v.is_some())
        }
        pub(crate) fn list_keys(&self, _: Option<&str>) -> Result<Keys, String> {
            let keys = VALUES.with_borrow(|v| v.keys().filter(|(bucket, _)| *bucket == self.0).map(|(_, key)| key.clone()).collect());
            Ok(Keys { keys, cursor: None })
        }
    }

    pub(crate) fn get_many(bucket: &Bucket, keys: &[String]) -> Result<Vec<Option<Pair>>, String> {
        keys.iter().map(|key| Ok(bucket.get(key)?.map(|value| (key.clone(), value)))).collect()
    }

    pub(crate) fn set_many(bucket: &Bucket, values: &[Pair]) -> Result<(), String> {
        values.iter().try_for_each(|(key, value)| bucket.set(key, value))
    }

    pub(crate) fn increment(bucket: &Bucket, key: &str, delta: i64) -> Result<i64, String> {
        let now = bucket.get(key)?.map_or(Ok(0), |v| String::from_utf8_lossy(&v).parse::<i64>()).map_err(|e| e.to_string())?;
        let sum = now.checked_add(delta).ok_or("too large")?;
        bucket.set(key, sum.to_string().as_bytes())?;
        Ok(sum)
    }

    /// One thread: nobody else is quicker.
    pub(crate) struct Cas(Bucket, String);

    #[allow(dead_code, reason = "as the host has it")]
    pub(crate) enum CasError {
        StoreError(String),
        CasFailed(Cas),
    }

    impl Cas {
        pub(crate) fn new(bucket: &Bucket, key: &str) -> Result<Cas, String> {
            Ok(Cas(Bucket(bucket.0.clone()), key.to_owned()))
        }
        pub(crate) fn current(&self) -> Result<Option<Vec<u8>>, String> {
            self.0.get(&self.1)
        }
    }

    pub(crate) fn swap(cas: Cas, value: &[u8]) -> Result<(), CasError> {
        cas.0.set(&cas.1, value).map_err(CasError::StoreError)
    }
}
