//! `port-forward`: ports of a Pod on this machine.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::error::{Error, Result};
use crate::session::Session;
use crate::{out, pods};

pub(super) const EXAMPLES: &str = "Examples:
  wharf port-forward pod/web 8080:80
  wharf port-forward deploy/web 8080:80 8443:443
  wharf port-forward svc/web :http
  wharf port-forward --address 0.0.0.0 web 8080:80";

/// What `port-forward` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// POD or TYPE/NAME, and [LOCAL:]REMOTE …
    words: Vec<String>,
    /// Where to listen.
    #[arg(long, value_delimiter = ',', default_value = "localhost")]
    address: Vec<String>,
    /// How long to wait for a Pod to run.
    #[arg(long, default_value = "1m0s", hide = true)]
    pod_running_timeout: String,
}

/// The port of the Pod that is meant; a Service's port is that of its target.
fn remote(text: &str, object: &Value, pod: &Value) -> Result<u16> {
    let named = |name: &str| {
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        let port = containers.flat_map(|c| c["ports"].as_array().into_iter().flatten()).find(|p| p["name"] == name);
        port.and_then(|p| u16::try_from(p["containerPort"].as_i64()?).ok())
    };
    let wrong = || Error::message(format!("Pod '{}' does not have a named port '{text}'", pods::place(pod).1));
    if object["kind"] == "Service" {
        let number = text.parse::<i64>().ok();
        let mut ports = object["spec"]["ports"].as_array().into_iter().flatten();
        let port = ports.find(|p| number.map_or(p["name"] == text, |n| p["port"] == n));
        let port = port.ok_or_else(|| {
            Error::message(format!("Service {} does not have a service port {text}", object["metadata"]["name"].as_str().unwrap_or_default()))
        })?;
        return match (&port["targetPort"], port["port"].as_i64()) {
            (Value::String(name), _) => named(name).ok_or_else(wrong),
            (Value::Number(n), _) if n.as_i64() != Some(0) => n.as_u64().and_then(|n| u16::try_from(n).ok()).ok_or_else(wrong),
            (_, port) => port.and_then(|n| u16::try_from(n).ok()).ok_or_else(wrong),
        };
    }
    match text.parse() {
        Ok(0) | Err(_) if text.parse::<u32>().is_ok() => {
            Err(Error::message(format!("error parsing remote port: remote port must be > 0 and <= 65535: {text}")))
        }
        Ok(port) => Ok(port),
        Err(_) => named(text).ok_or_else(wrong),
    }
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let Some((word, ports)) = arguments.words.split_first().filter(|(_, ports)| !ports.is_empty()) else {
        return Err(Error::Usage("TYPE/NAME and list of ports are required for port-forward".into()));
    };
    let (object, found) = pods::behind(session, word).await?;
    let pod = found.first().ok_or_else(|| Error::message("timed out waiting for the condition"))?;
    let (namespace, name) = pods::place(pod);
    if pod["status"]["phase"] != "Running" {
        return Err(Error::message(format!(
            "unable to forward port because pod is not running. Current status={}",
            pod["status"]["phase"].as_str().unwrap_or_default()
        )));
    }
    let api: Api<Pod> = Api::namespaced(session.client.clone(), namespace);
    let mut tasks = Vec::new();
    for text in ports {
        let (local, remote_text) = text.split_once(':').unwrap_or((text, text));
        let port = remote(remote_text, &object, pod)?;
        let local: u16 = match local {
            "" => 0,
            text => text.parse().or_else(|_| remote(text, &object, pod)).map_err(|_| Error::message(format!("error parsing local port '{text}'")))?,
        };
        let mut listening = false;
        for address in &arguments.address {
            let hosts: &[&str] = if address == "localhost" { &["127.0.0.1", "[::1]"] } else { &[address.as_str()] };
            let mut chosen = local;
            for host in hosts {
                // Of localhost one of the two is enough.
                let Ok(listener) = TcpListener::bind(format!("{host}:{chosen}")).await else { continue };
                chosen = listener.local_addr().map(|a| a.port()).unwrap_or(local);
                out(&format!("Forwarding from {host}:{chosen} -> {port}\n"));
                listening = true;
                tasks.push(tokio::spawn(serve(listener, api.clone(), name.to_owned(), chosen, port)));
            }
        }
        if !listening {
            return Err(Error::message(format!("unable to listen on any of the requested ports: [{{{local} {port}}}]")));
        }
    }
    futures::future::join_all(tasks).await;
    Ok(())
}

async fn serve(listener: TcpListener, api: Api<Pod>, pod: String, local: u16, port: u16) {
    while let Ok((stream, _)) = listener.accept().await {
        out(&format!("Handling connection for {local}\n"));
        let (api, pod) = (api.clone(), pod.clone());
        tokio::spawn(async move {
            if let Err(why) = forward(stream, &api, &pod, port).await {
                eprintln!("error: an error occurred forwarding {local} -> {port}: {why}");
            }
        });
    }
}

async fn forward(mut stream: TcpStream, api: &Api<Pod>, pod: &str, port: u16) -> std::result::Result<(), String> {
    let mut forwarder = api.portforward(pod, &[port]).await.map_err(|error| Error::from(error).text())?;
    let error = forwarder.take_error(port);
    let mut remote = forwarder.take_stream(port).ok_or("no stream")?;
    // Either side may end first; what the other still has to say is passed on.
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut remote).await;
    drop(remote);
    match error {
        Some(error) => match tokio::time::timeout(std::time::Duration::from_millis(100), error).await {
            Ok(Some(why)) => Err(why),
            _ => Ok(()),
        },
        None => Ok(()),
    }
}
