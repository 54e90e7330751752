//! The world `admission`: a request of the API in, allowed or not out.

use crate::bindings::admission::exports::wharf::plugin::admission_review as wit;
use crate::plugin::{CallError, Plugin, Pre};

pub use wit::{GroupVersionKind, GroupVersionResource, Operation, Request, Response, Status, UserInfo};

/// Which of the two questions is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// What to change.
    Mutate,
    /// Whether it may be so.
    Validate,
}

impl Phase {
    /// `mutate` or `validate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Mutate => "mutate",
            Phase::Validate => "validate",
        }
    }
}

/// Bytes of a patch: as many as a request of the API may have.
const MAX_PATCH: usize = 3 << 20;
/// Bytes of a refusal's message.
const MAX_MESSAGE: usize = 32 << 10;
/// Warnings, and bytes of each.
const MAX_WARNINGS: usize = 32;
const MAX_WARNING: usize = 4 << 10;

impl Plugin {
    /// Asks about a request.
    ///
    /// # Errors
    /// When there is no answer, or one that makes no sense: what becomes of the request is the failure policy's to say.
    pub async fn review(&self, phase: Phase, request: Request) -> Result<Response, CallError> {
        let Pre::Admission(_) = self.pre() else { return Err(CallError::NotReady("it is not of the world admission".to_owned())) };
        let response = self
            .call(move |pre, store| {
                Box::pin(async move {
                    let Pre::Admission(pre) = pre else { return Err(wasmtime::format_err!("not of the world admission")) };
                    let plugin = pre.instantiate_async(&mut *store).await?;
                    let review = plugin.wharf_plugin_admission_review();
                    match phase {
                        Phase::Mutate => review.call_mutate(store, &request).await,
                        Phase::Validate => review.call_validate(store, &request).await,
                    }
                })
            })
            .await?;
        check(phase, response).map_err(CallError::Nonsense)
    }
}

fn check(phase: Phase, mut response: Response) -> Result<Response, String> {
    if !response.allowed {
        response.patch = None;
    }
    if let Some(patch) = &response.patch {
        if phase == Phase::Validate {
            return Err("`validate` has a patch, which only `mutate` may have".to_owned());
        }
        if patch.len() > MAX_PATCH {
            return Err(format!("its patch has {} bytes, the limit is {MAX_PATCH}", patch.len()));
        }
    }
    if let Some(code) = response.status.as_ref().and_then(|s| s.code)
        && !(400..600).contains(&code)
        && !response.allowed
    {
        return Err(format!("it refuses with the code {code}, which is no error"));
    }
    if let Some(message) = response.status.as_mut().and_then(|s| s.message.as_mut()) {
        shorten(message, MAX_MESSAGE);
    }
    response.warnings.truncate(MAX_WARNINGS);
    response.warnings.iter_mut().for_each(|warning| shorten(warning, MAX_WARNING));
    Ok(response)
}

fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(allowed: bool, patch: Option<&str>, code: Option<u16>) -> Response {
        Response { allowed, status: Some(Status { code, reason: None, message: None }), patch: patch.map(str::to_owned), warnings: Vec::new() }
    }

    #[test]
    fn nonsense_is_found() {
        assert!(check(Phase::Mutate, response(true, Some("[]"), None)).is_ok());
        assert!(check(Phase::Validate, response(true, Some("[]"), None)).unwrap_err().contains("only `mutate`"));
        assert_eq!(check(Phase::Validate, response(false, Some("[]"), None)).unwrap().patch, None);
        assert!(check(Phase::Mutate, response(false, None, Some(200))).unwrap_err().contains("200"));
        assert!(check(Phase::Mutate, response(true, Some(&"x".repeat(MAX_PATCH + 1)), None)).is_err());
    }

    #[test]
    fn words_are_bounded() {
        let mut long = response(false, None, None);
        long.status.as_mut().unwrap().message = Some("ü".repeat(MAX_MESSAGE));
        long.warnings = vec!["ü".repeat(MAX_WARNING); 100];
        let short = check(Phase::Mutate, long).unwrap();
        assert!(short.status.unwrap().message.unwrap().len() <= MAX_MESSAGE + 3);
        assert_eq!(short.warnings.len(), MAX_WARNINGS);
        assert!(short.warnings.iter().all(|w| w.len() <= MAX_WARNING + 3));
    }
}
