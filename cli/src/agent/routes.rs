//! The Pods' network in the kernel: this node's own part of it and the Services' addresses are local to this machine, every other node is
//! the gateway to its part.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::pin::pin;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType};
use rtnetlink::{Handle, RouteMessageBuilder};
use tokio_util::sync::CancellationToken;

/// By which our routes are known among others (a number that nobody else's has in /etc/iproute2/rt_protos).
const PROTOCOL: RouteProtocol = RouteProtocol::Other(87);
/// The kernel's table of its own addresses.
const LOCAL: u32 = 255;
/// The Services' addresses.
const SERVICES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 12);

/// Where a range of addresses is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Here,
    Via(Ipv4Addr),
}

/// The kernel's routes.
pub(super) struct Routes {
    handle: Handle,
    set: BTreeMap<Ipv4Net, Way>,
}

impl Routes {
    /// Opens the way to the kernel.
    pub(super) fn new() -> std::io::Result<Routes> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        Ok(Routes { handle, set: BTreeMap::new() })
    }

    /// Takes over what an earlier process of this machine left, which may have been killed: what is not wanted any more goes with the first
    /// look at the Nodes.
    pub(super) async fn adopt(&mut self) -> Result<()> {
        let mut routes = pin!(self.handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute());
        while let Some(route) = routes.try_next().await.context("list the routes")? {
            if let Some((range, way)) = ours(&route).filter(|(range, _)| *range != SERVICES) {
                self.set.insert(range, way);
            }
        }
        Ok(())
    }

    /// Services' addresses are answered here.
    pub(super) async fn claim_services(&self) -> Result<()> {
        let words = "this needs CAP_NET_ADMIN: run the agent as root, or give the program the capability with `setcap cap_net_admin,cap_net_bind_service+ep`";
        self.set(SERVICES, Way::Here).await.context(words)
    }

    /// Follows the Nodes until the token is cancelled; then takes its routes away.
    pub(super) async fn run(mut self, client: Client, own: String, token: CancellationToken) -> Result<()> {
        let mut nodes: BTreeMap<String, (Ipv4Net, Way)> = BTreeMap::new();
        let mut listing: Option<BTreeMap<String, (Ipv4Net, Way)>> = None;
        let mut events = pin!(watcher::watcher(Api::<Node>::all(client), watcher::Config::default()).default_backoff());
        while let Some(Some(event)) = token.run_until_cancelled(events.next()).await {
            match event {
                Ok(Event::Init) => listing = Some(BTreeMap::new()),
                Ok(Event::InitApply(node)) => {
                    if let (Some(listing), Some((name, way))) = (&mut listing, way(&node, &own)) {
                        listing.insert(name, way);
                    }
                    continue;
                }
                Ok(Event::InitDone) => nodes = listing.take().unwrap_or_default(),
                Ok(Event::Apply(node)) => {
                    if let Some((name, way)) = way(&node, &own) {
                        nodes.insert(name, way);
                    }
                }
                Ok(Event::Delete(node)) => drop(nodes.remove(node.metadata.name.as_deref().unwrap_or_default())),
                Err(error) => {
                    tracing::debug!(%error, "watching Nodes");
                    continue;
                }
            }
            if listing.is_none() {
                self.follow(nodes.values().copied().collect()).await;
            }
        }
        self.follow(BTreeMap::new()).await;
        let _ = self.unset(SERVICES, Way::Here).await;
        Ok(())
    }

    /// Makes the kernel's routes these.
    async fn follow(&mut self, wanted: BTreeMap<Ipv4Net, Way>) {
        let old: Vec<_> = self.set.iter().filter(|(range, way)| wanted.get(range) != Some(way)).map(|(r, w)| (*r, *w)).collect();
        for (range, way) in old {
            match self.unset(range, way).await {
                Ok(()) => tracing::info!(%range, ?way, "route taken away"),
                Err(error) => tracing::warn!(%range, error = format!("{error:#}"), "a route could not be taken away"),
            }
            self.set.remove(&range);
        }
        for (range, way) in wanted {
            if self.set.get(&range) == Some(&way) {
                continue;
            }
            match self.set(range, way).await {
                Ok(()) => {
                    tracing::info!(%range, ?way, "route set");
                    self.set.insert(range, way);
                }
                // The next heartbeat of the node brings it up again.
                Err(error) => tracing::warn!(%range, error = format!("{error:#}"), "a route could not be set: Pods there are out of reach"),
            }
        }
    }

    async fn set(&self, range: Ipv4Net, way: Way) -> Result<()> {
        let route = self.message(range, way).await?;
        self.handle.route().add(route).replace().execute().await.with_context(|| format!("set the route to {range}"))
    }

    async fn unset(&self, range: Ipv4Net, way: Way) -> Result<()> {
        let route = self.message(range, way).await?;
        self.handle.route().del(route).execute().await.with_context(|| format!("take away the route to {range}"))
    }

    async fn message(&self, range: Ipv4Net, way: Way) -> Result<RouteMessage> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(range.network(), range.prefix_len()).protocol(PROTOCOL);
        Ok(match way {
            Way::Via(gateway) => route.gateway(gateway).build(),
            Way::Here => {
                let links = self.handle.link().get().match_name("lo".to_owned()).execute();
                let lo = pin!(links).try_next().await.context("find the loopback device")?.context("there is no loopback device")?;
                route.kind(RouteType::Local).scope(RouteScope::Host).table_id(LOCAL).output_interface(lo.header.index).build()
            }
        })
    }
}

/// What a route of the kernel says, if it is one of ours.
fn ours(route: &RouteMessage) -> Option<(Ipv4Net, Way)> {
    let header = &route.header;
    if header.protocol != PROTOCOL {
        return None;
    }
    let address = |wanted: fn(&RouteAttribute) -> Option<&RouteAddress>| match route.attributes.iter().find_map(wanted) {
        Some(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    };
    let to = address(|a| if let RouteAttribute::Destination(to) = a { Some(to) } else { None })?;
    let range = Ipv4Net::new(to, header.destination_prefix_length).ok()?;
    let gateway = address(|a| if let RouteAttribute::Gateway(gateway) = a { Some(gateway) } else { None });
    match gateway {
        Some(gateway) => Some((range, Way::Via(gateway))),
        None if header.kind == RouteType::Local => Some((range, Way::Here)),
        None => None,
    }
}

/// The way to a node's Pods, if it has a range and an address.
fn way(node: &Node, own: &str) -> Option<(String, (Ipv4Net, Way))> {
    let name = node.metadata.name.clone()?;
    let range: Ipv4Net = node.spec.as_ref()?.pod_cidr.as_deref()?.parse().ok()?;
    if name == own {
        return Some((name, (range, Way::Here)));
    }
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let gateway = addresses.iter().find(|a| a.type_ == "InternalIP")?.address.parse().ok()?;
    Some((name, (range, Way::Via(gateway))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn our_routes_are_known_again() {
        let via = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(Ipv4Addr::new(10, 244, 2, 0), 24).gateway(Ipv4Addr::new(192, 168, 1, 12));
        let here = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(Ipv4Addr::new(10, 244, 1, 0), 24).kind(RouteType::Local).table_id(LOCAL);
        let range = |text: &str| text.parse::<Ipv4Net>().unwrap();
        assert_eq!(ours(&via.clone().build()), None, "somebody else's");
        assert_eq!(ours(&via.protocol(PROTOCOL).build()), Some((range("10.244.2.0/24"), Way::Via(Ipv4Addr::new(192, 168, 1, 12)))));
        assert_eq!(ours(&here.protocol(PROTOCOL).build()), Some((range("10.244.1.0/24"), Way::Here)));
    }

    #[test]
    fn a_node_is_the_way_to_its_pods() {
        let node = |cidr: serde_json::Value| {
            let node = json!({"metadata": {"name": "b"}, "spec": {"podCIDR": cidr}, "status": {"addresses": [
                {"type": "Hostname", "address": "b"}, {"type": "InternalIP", "address": "192.168.1.12"},
            ]}});
            serde_json::from_value::<Node>(node).unwrap()
        };
        let range: Ipv4Net = "10.244.2.0/24".parse().unwrap();
        let other = way(&node(json!("10.244.2.0/24")), "a");
        assert_eq!(other, Some(("b".into(), (range, Way::Via(Ipv4Addr::new(192, 168, 1, 12))))));
        assert_eq!(way(&node(json!("10.244.2.0/24")), "b"), Some(("b".into(), (range, Way::Here))));
        assert_eq!(way(&node(json!(null)), "a"), None);
    }
}
