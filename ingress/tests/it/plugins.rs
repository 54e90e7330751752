//! Plugins in front of backends; what runs them is the test's own.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use wharf_ingress::{ANNOTATION, IngressPlugins, NoLocalHandlers, Options, Pairs, PluginChanges, PluginDecision, PluginFailure, PluginRequest};

use crate::bed::{Bed, get, rule, send};

/// Plugins that do what their names say.
struct Named;

impl IngressPlugins for Named {
    fn known(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn of(&self, named: &[String], _: &Pairs) -> Vec<Arc<str>> {
        named.iter().map(|name| name.as_str().into()).collect()
    }

    fn on_request<'a>(&'a self, plugin: &'a str, head: PluginRequest<'a>) -> BoxFuture<'a, Result<PluginDecision, PluginFailure>> {
        let fail = |ignored| PluginFailure { ignored, status: StatusCode::INTERNAL_SERVER_ERROR, message: "as told".into() };
        let decision = match plugin {
            "answer" => {
                let body = format!("{} {}{} {} {}", head.method, head.authority, head.path_with_query, head.client, head.ingress).into_bytes();
                Ok(PluginDecision::Answer { status: StatusCode::IM_A_TEAPOT, headers: HeaderMap::new(), body })
            }
            "fail" => Err(fail(false)),
            "fail-open" => Err(fail(true)),
            name => {
                let value = format!("{}{name}", head.headers.get("x-way").map_or("", |v| v.to_str().unwrap()));
                let set = vec![("x-way".parse().unwrap(), value.parse().unwrap())];
                Ok(PluginDecision::Proceed { changes: PluginChanges { remove: vec!["x-secret".parse().unwrap()], set }, context: Some(name.into()) })
            }
        };
        Box::pin(async move { decision })
    }

    fn on_response<'a>(&'a self, _: &'a str, context: Vec<u8>, _: StatusCode, headers: &'a HeaderMap) -> BoxFuture<'a, Result<PluginChanges, PluginFailure>> {
        let value = format!("{}{}", headers.get("x-back").map_or("", |v| v.to_str().unwrap()), String::from_utf8_lossy(&context));
        let set = vec![("x-back".parse().unwrap(), value.parse().unwrap())];
        Box::pin(async move { Ok(PluginChanges { remove: vec!["x-public".parse().unwrap()], set }) })
    }
}

async fn bed() -> (Bed, crate::bed::Pod) {
    let bed = Bed::with_all(Arc::new(NoLocalHandlers), Arc::new(Named), Options::default()).await;
    let pod = bed.pod(2).await;
    bed.service("web", &[pod.ip]);
    (bed, pod)
}

fn with(plugins: &str) -> String {
    rule("a.test", "web", &[]).replace("annotations: {}", &format!("annotations: {{{ANNOTATION}: '{plugins}'}}"))
}

#[tokio::test]
async fn requests_pass_in_order_and_responses_back() {
    let (bed, _pod) = bed().await;
    bed.routes(&with("a, b"));
    let mut request = get("a.test", "/headers");
    request.headers_mut().insert("x-secret", "1".parse().unwrap());
    let (status, headers, told) = send(bed.http, request).await;
    assert_eq!(status, StatusCode::OK);
    assert!(told.contains("x-way: ab") && !told.contains("x-secret"), "{told}");
    assert_eq!((&headers["x-back"], headers.contains_key("x-public")), (&"ba".parse().unwrap(), false));
}

#[tokio::test]
async fn a_plugin_answers_itself_past_those_before_it() {
    let (bed, _pod) = bed().await;
    bed.routes(&with("a,answer,fail"));
    let (status, headers, told) = send(bed.http, get("a.test", "/x?y")).await;
    assert_eq!((status, told.as_str()), (StatusCode::IM_A_TEAPOT, "GET a.test/x?y 127.0.0.1 default/a-test"));
    assert_eq!(headers["x-back"], "a");
}

#[tokio::test]
async fn a_failure_is_for_its_policy() {
    let (bed, _pod) = bed().await;
    bed.routes(&with("fail"));
    assert_eq!(send(bed.http, get("a.test", "/")).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    bed.routes(&with("fail-open"));
    assert_eq!(send(bed.http, get("a.test", "/")).await.2, "pod2");
}

#[tokio::test]
async fn bodies_stream_past() {
    let (bed, _pod) = bed().await;
    bed.routes(&with("a"));
    let (to, from) = tokio::sync::mpsc::channel(4);
    let mut request = get("a.test", "/echo");
    (*request.method_mut(), *request.body_mut()) = (http::Method::POST, crate::bed::channel_body(from));
    let mut client = crate::bed::client(bed.http).await;
    let response = client.send_request(request);
    to.send(Ok(hyper::body::Frame::data("one".into()))).await.unwrap();
    let mut body = response.await.unwrap().into_body();
    use http_body_util::BodyExt;
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one", "the answer begins before the request has ended");
    to.send(Ok(hyper::body::Frame::data("two".into()))).await.unwrap();
    drop(to);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "two");
}

#[tokio::test]
async fn without_plugins_an_ingress_that_names_one_serves_nothing() {
    let bed = Bed::new().await;
    let pod = bed.pod(2).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&with("a"));
    assert_eq!(send(bed.http, get("a.test", "/")).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

/// It is not known which plugins there are until somebody says so.
struct Unknown(tokio::sync::watch::Sender<bool>);

impl IngressPlugins for Unknown {
    fn known(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.0.subscribe().wait_for(|known| *known).await.unwrap();
        })
    }

    fn of(&self, _: &[String], _: &Pairs) -> Vec<Arc<str>> {
        vec![]
    }

    fn on_request<'a>(&'a self, _: &'a str, _: PluginRequest<'a>) -> BoxFuture<'a, Result<PluginDecision, PluginFailure>> {
        unreachable!()
    }

    fn on_response<'a>(&'a self, _: &'a str, _: Vec<u8>, _: StatusCode, _: &'a HeaderMap) -> BoxFuture<'a, Result<PluginChanges, PluginFailure>> {
        unreachable!()
    }
}

#[tokio::test]
async fn an_ingress_is_not_ready_before_its_plugins_are_known() {
    let plugins = Arc::new(Unknown(tokio::sync::watch::Sender::new(false)));
    let bed = Bed::with_all(Arc::new(NoLocalHandlers), plugins.clone(), Options::default()).await;
    bed.routes(&with("any"));
    let mut synced = std::pin::pin!(bed.ingress.synced());
    assert!(futures::poll!(synced.as_mut()).is_pending(), "there are routes, but a plugin could be passed by");
    plugins.0.send_replace(true);
    synced.await;
}
