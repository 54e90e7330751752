//! Reviews: who am I, whose token is this, what may I, what may they.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::{SelfSubjectReview, SelfSubjectReviewStatus, TokenReview, TokenReviewStatus, UserInfo};
use k8s_openapi::api::authorization::v1::{
    LocalSubjectAccessReview, NonResourceAttributes, NonResourceRule, ResourceAttributes, ResourceRule, SelfSubjectAccessReview, SelfSubjectRulesReview,
    SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus, SubjectRulesReviewStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;
use serde_json::Value;
use wharf_api::field::{Error, Path};
use wharf_api::meta::whole_second;
use wharf_api::status::ApiError;

use super::{Attributes, Decision};
use crate::http::path::ResourcePath;
use crate::server::Shared;
use crate::subresources::binding::read;
use crate::{Identity, MASTERS};

/// Whether a resource is a review.
pub(crate) fn is_review(plural: &str) -> bool {
    matches!(
        plural,
        "selfsubjectreviews" | "tokenreviews" | "selfsubjectaccessreviews" | "subjectaccessreviews" | "localsubjectaccessreviews" | "selfsubjectrulesreviews"
    )
}

/// Answers one.
pub(crate) fn review(shared: &Shared, identity: &Identity, path: &ResourcePath<'_>, content_type: &str, body: &[u8]) -> Result<Value, ApiError> {
    let (json, _) = wharf_api::decode::to_json(body, content_type, path.plural)?;
    match path.plural {
        "selfsubjectreviews" => {
            let mut review: SelfSubjectReview = read(&json, "SelfSubjectReview")?;
            review.metadata.creation_timestamp = Some(Time(whole_second(jiff::Timestamp::now())));
            review.status = Some(SelfSubjectReviewStatus { user_info: Some(user_info(identity)) });
            tree(&review)
        }
        "tokenreviews" => tree(&token_review(shared, read(&json, "TokenReview")?)?),
        "selfsubjectaccessreviews" => {
            let mut review: SelfSubjectAccessReview = read(&json, "SelfSubjectAccessReview")?;
            let spec = &review.spec;
            check_attributes(spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref(), "SelfSubjectAccessReview")?;
            review.status = Some(decide(shared, identity, spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref()));
            tree(&review)
        }
        "subjectaccessreviews" => {
            let mut review: SubjectAccessReview = read(&json, "SubjectAccessReview")?;
            review.status = Some(of_subject(shared, &review.spec, "SubjectAccessReview")?);
            tree(&review)
        }
        "localsubjectaccessreviews" => {
            let mut review: LocalSubjectAccessReview = read(&json, "LocalSubjectAccessReview")?;
            let namespace = review.spec.resource_attributes.as_ref().and_then(|a| a.namespace.as_deref()).unwrap_or_default();
            if namespace != path.namespace {
                let words = "spec.resourceAttributes.namespace must match namespace".to_owned();
                return Err(ApiError::bad_request(format!("{words}: {namespace}")));
            }
            review.status = Some(of_subject(shared, &review.spec, "LocalSubjectAccessReview")?);
            review.metadata.namespace = Some(path.namespace.clone().into_owned());
            tree(&review)
        }
        _ => {
            let mut review: SelfSubjectRulesReview = read(&json, "SelfSubjectRulesReview")?;
            let namespace = review.spec.namespace.clone().unwrap_or_default();
            if namespace.is_empty() {
                return Err(ApiError::bad_request("no namespace on request"));
            }
            review.status = Some(rules(shared, identity, &namespace));
            tree(&review)
        }
    }
}

fn tree(object: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(object).map_err(|e| ApiError::internal(e.to_string()))
}

fn user_info(identity: &Identity) -> UserInfo {
    UserInfo {
        username: Some(identity.user.clone()),
        uid: (!identity.uid.is_empty()).then(|| identity.uid.clone()),
        groups: Some(identity.groups.clone()),
        extra: (!identity.extra.is_empty()).then(|| identity.extra.clone()),
    }
}

fn token_review(shared: &Shared, mut review: TokenReview) -> Result<TokenReview, ApiError> {
    let token = review.spec.token.clone();
    if token.is_empty() {
        return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences = review.spec.audiences.clone().unwrap_or_default();
    review.status = Some(match shared.tokens.verify(&token, &audiences, shared.cache()) {
        Ok((identity, audiences)) => TokenReviewStatus { authenticated: Some(true), user: Some(user_info(&identity)), audiences: Some(audiences), error: None },
        Err(error) => {
            TokenReviewStatus { user: Some(UserInfo::default()), error: Some(format!("[invalid bearer token, {error}]")), ..TokenReviewStatus::default() }
        }
    });
    Ok(review)
}

fn of_subject(shared: &Shared, spec: &SubjectAccessReviewSpec, kind: &str) -> Result<SubjectAccessReviewStatus, ApiError> {
    check_attributes(spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref(), kind)?;
    let groups = spec.groups.clone().unwrap_or_default();
    let user = spec.user.clone().unwrap_or_default();
    if user.is_empty() && groups.is_empty() {
        let error = Error::required(&Path::new("spec.user"), "at least one of user or group must be specified");
        return Err(ApiError::invalid("authorization.k8s.io", kind, "", vec![error]));
    }
    let extra: BTreeMap<String, Vec<String>> = spec.extra.clone().unwrap_or_default();
    let identity = Identity { user, groups, uid: spec.uid.clone().unwrap_or_default(), extra };
    Ok(decide(shared, &identity, spec.resource_attributes.as_ref(), spec.non_resource_attributes.as_ref()))
}

fn check_attributes(resource: Option<&ResourceAttributes>, path: Option<&NonResourceAttributes>, kind: &str) -> Result<(), ApiError> {
    let at = Path::new("spec.resourceAttributes");
    let error = match (resource, path) {
        (None, None) => Error::invalid(&at, "", "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        (Some(_), Some(_)) => Error::invalid(&Path::new("spec.nonResourceAttributes"), "", "cannot be specified in combination with resourceAttributes"),
        _ => return Ok(()),
    };
    Err(ApiError::invalid("authorization.k8s.io", kind, "", vec![error]))
}

fn decide(shared: &Shared, identity: &Identity, resource: Option<&ResourceAttributes>, path: Option<&NonResourceAttributes>) -> SubjectAccessReviewStatus {
    fn text(t: &Option<String>) -> &str {
        t.as_deref().unwrap_or_default()
    }
    let fields: String = resource
        .and_then(|r| r.field_selector.as_ref())
        .map(|s| {
            let terms = s.requirements.iter().flatten().filter(|r| r.operator == "In");
            terms.filter_map(|r| Some(format!("{}={}", r.key, r.values.as_ref()?.first()?))).collect::<Vec<_>>().join(",")
        })
        .unwrap_or_default();
    let attributes = match (resource, path) {
        (Some(r), _) => Attributes {
            verb: text(&r.verb),
            group: text(&r.group),
            plural: text(&r.resource),
            subresource: text(&r.subresource),
            namespace: text(&r.namespace),
            name: text(&r.name),
            path: None,
            field_selector: &fields,
        },
        (None, Some(p)) => Attributes { verb: text(&p.verb), path: Some(text(&p.path)), ..Attributes::default() },
        (None, None) => Attributes::default(),
    };
    match shared.authorizer.explain(identity, &attributes) {
        Decision::Allow { reason } => SubjectAccessReviewStatus { allowed: true, reason: Some(reason).filter(|r| !r.is_empty()), ..Default::default() },
        Decision::NoOpinion { reason } => SubjectAccessReviewStatus { allowed: false, reason: Some(reason).filter(|r| !r.is_empty()), ..Default::default() },
    }
}

fn rules(shared: &Shared, identity: &Identity, namespace: &str) -> SubjectRulesReviewStatus {
    let all = shared.authorizer.rbac.index().rules(identity, namespace);
    let mut status = SubjectRulesReviewStatus::default();
    if identity.is_in(MASTERS) {
        let everything = || vec!["*".to_owned()];
        status.resource_rules.push(ResourceRule { verbs: everything(), api_groups: Some(everything()), resources: Some(everything()), resource_names: None });
        status.non_resource_rules.push(NonResourceRule { verbs: everything(), non_resource_urls: Some(everything()) });
    }
    for rule in all {
        if rule.resources.as_ref().is_some_and(|r| !r.is_empty()) {
            status.resource_rules.push(ResourceRule {
                verbs: rule.verbs.clone(),
                api_groups: rule.api_groups.clone(),
                resources: rule.resources.clone(),
                resource_names: rule.resource_names.clone(),
            });
        }
        if rule.non_resource_urls.as_ref().is_some_and(|u| !u.is_empty()) {
            status.non_resource_rules.push(NonResourceRule { verbs: rule.verbs, non_resource_urls: rule.non_resource_urls });
        }
    }
    status
}
