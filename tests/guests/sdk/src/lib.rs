// All that the SDK has, for tests: the path says what it does, the answer is what came of it. (No inner comment: sdk-p3 includes this file.)

use anyhow::Context;
use wharf_sdk::keyvalue::Bucket;
use wharf_sdk::{Error, IntoResponse, Json, Request, Response, StatusCode, config, fetch, http, log};

#[derive(serde::Deserialize, serde::Serialize)]
struct Settings {
    greeting: String,
    #[serde(default)]
    retries: u8,
    page: Option<String>,
}

#[wharf_sdk::http]
async fn handle(request: Request) -> Result<Response, Error> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    Ok(match path.as_str() {
        "/" => "Hello, WASI!".into_response(),
        "/settings" => Json(config::load::<Settings>()?).into_response(),
        "/config" => config::get(&query)?.unwrap_or_else(|| "-".into()).into_response(),
        "/all" => {
            let mut all: Vec<String> = config::all()?.into_iter().map(|(k, v)| format!("{k}={v}\n")).collect();
            all.sort();
            all.concat().into_response()
        }
        "/log" => {
            log::info!("told {query}");
            log::debug!("not told");
            log::error!("two\nlines");
            ().into_response()
        }
        "/echo" => Response::new(request.into_body()),
        "/text" => request.into_body().text().await?.into_response(),
        "/created" => (StatusCode::CREATED, Json([1, 2])).into_response(),
        "/error" => return Err(Error::msg("secret").context("asked to fail")),
        "/fetch" => {
            let answer = fetch(http::Request::get(query).body("body")?).await.context("fetch")?;
            let (head, body) = answer.into_parts();
            (head.status, format!("fetched: {}", body.text().await?)).into_response()
        }
        "/count" => Bucket::open("default")?.increment("count", 1)?.to_string().into_response(),
        "/keyvalue" => keyvalue(&Bucket::open(&query)?)?.into_response(),
        _ => (StatusCode::NOT_FOUND, "no such path").into_response(),
    })
}

/// Everything once, in an empty bucket; it is empty again afterwards.
fn keyvalue(b: &Bucket) -> Result<String, Error> {
    let mut out = format!("{:?} {}", b.get("a")?, b.exists("a")?);
    b.set("a", "1")?;
    b.set_many(&[("b", b"2"), ("c", b"3")])?;
    out += &format!(" {:?} {:?}", b.get("a")?, b.get_many(&["c", "x", "b"])?);
    out += &format!(" {} {}", b.increment("n", 5)?, b.increment("n", -7)?);
    let mut meanwhile = true;
    let updated = b.update("a", |now| {
        // Somebody else, once.
        if std::mem::take(&mut meanwhile) {
            b.set("a", "other").unwrap();
        }
        [now.unwrap_or_default(), b"!"].concat()
    })?;
    out += &format!(" {} {:?}", String::from_utf8_lossy(&updated), b.keys()?);
    for key in b.keys()? {
        b.delete(&key)?;
    }
    Ok(out + &format!(" {:?}", b.keys()?))
}
