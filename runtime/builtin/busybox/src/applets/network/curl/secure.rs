//! `https`: `-k`, `--cacert`, `--cert` and `--key`.

use super::super::url::Url;
use super::{Failure, failure, say};
use crate::container::tls;
use crate::context::Context;
use crate::net::TcpStream;
use crate::options::Options;

/// What curl says behind the words about a certificate.
const LEGITIMACY: &str = "\nMore details here: https://curl.se/docs/sslcerts.html\n\ncurl failed to verify the legitimacy of the server and therefore could not\nestablish a secure connection to it. To learn more about this situation and\nhow to fix it, please visit the web page mentioned above.";

/// The connection in TLS.
pub async fn secure(cx: &Context, options: &Options, url: &Url, stream: TcpStream) -> Result<TcpStream, Failure> {
    let roots = match options.value('\u{8}') {
        Some(path) => Some(read(cx, path).await.ok_or_else(|| failure(77, format!("error adding trust anchors from file: {path}")))?),
        None => None,
    };
    let identity = match options.value('E') {
        Some(certificate) => {
            let key = options.value('\u{b}').unwrap_or(certificate);
            let file = |path: &str, what: &str| failure(58, format!("could not load PEM client {what} from {path}, (no key found, wrong pass phrase, or wrong file format?)"));
            let chain = read(cx, certificate).await.ok_or_else(|| file(certificate, "certificate"))?;
            Some((chain, read(cx, key).await.ok_or_else(|| file(key, "private key"))?))
        }
        None => None,
    };
    let wanted = tls::Options { server_name: url.host.clone(), roots, insecure: options.has('k'), identity };
    let refused = |words: String| match words.strip_prefix("invalid peer certificate: ") {
        Some(why) => {
            let words = match why {
                "UnknownIssuer" => "SSL certificate problem: unable to get local issuer certificate".to_string(),
                "Expired" => "SSL certificate problem: certificate has expired".to_string(),
                why if why.contains("not valid for name") => {
                    format!("SSL: no alternative certificate subject name matches target host name '{}'", url.host)
                }
                why => format!("SSL certificate problem: {why}"),
            };
            failure(60, words + LEGITIMACY)
        }
        None => match options.value('\u{8}').filter(|_| words.starts_with("there is no certificate")) {
            Some(path) => failure(77, format!("error adding trust anchors from file: {path}")),
            None => failure(35, format!("TLS connect error: {words}")),
        },
    };
    let secured = stream.secure(&wanted).await.map_err(refused)?;
    if options.has('v') {
        say(cx, "* SSL connection established\n").await;
    }
    Ok(secured)
}

async fn read(cx: &Context, path: &str) -> Option<String> {
    let bytes = cx.open(path).ok()?.read_to_end().await.ok()?;
    String::from_utf8(bytes).ok()
}
