//! A function in Rust: greets, counts its visits, and logs them.

use wharf_sdk::keyvalue::Bucket;
use wharf_sdk::{Error, Request, config, log};

#[derive(serde::Deserialize)]
struct Settings {
    #[serde(default = "hello")]
    greeting: String,
}

fn hello() -> String {
    "Hello".into()
}

#[wharf_sdk::http]
async fn handle(request: Request) -> Result<String, Error> {
    let Settings { greeting } = config::load()?;
    let visit = Bucket::open("default")?.increment("hello-rust.visits", 1)?;
    log::info!("visit {visit}, to {}", request.uri().path());
    Ok(format!("{greeting} from Rust! You are visitor {visit}.\n"))
}
