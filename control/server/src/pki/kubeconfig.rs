//! The text of a kubeconfig.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Issued;

pub(super) fn kubeconfig(name: &str, url: &str, ca: &str, user: &str, issued: &Issued) -> String {
    let (ca, certificate, key) = (STANDARD.encode(ca), STANDARD.encode(&issued.certificate), STANDARD.encode(&issued.key));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster:
    certificate-authority-data: {ca}
    server: {url}
users:
- name: {user}@{name}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: {name}
  context:
    cluster: {name}
    user: {user}@{name}
current-context: {name}
preferences: {{}}
"
    )
}
