//! Port-forward over WebSockets as client libraries have it: a connection for each port of the query.

use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use super::websocket::{open, refused};
use super::{World, both_ways};

/// The payload of messages to a channel, until there is as much of it or the connection ends.
async fn read(world: &World, query: &str, sent: &[u8], channel: u8, wanted: usize) -> Vec<u8> {
    let mut socket = open(world, &format!("p/portforward?{query}"), "v4.channel.k8s.io").await;
    socket.send(Message::Binary(sent.to_vec().into())).await.unwrap();
    let mut bytes = Vec::new();
    while bytes.len() < wanted
        && let Some(Ok(message)) = socket.next().await
    {
        if let Message::Binary(message) = message
            && message[0] == channel
        {
            bytes.extend_from_slice(&message[1..]);
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn each_port_has_two_channels() {
    both_ways(async |world| {
        assert_eq!(read(world, "ports=81&ports=7", b"\x02hello", 2, 7).await, b"\x07\x00hello");
        let refused = read(world, "ports=81", b"\x00hello", 1, usize::MAX).await;
        assert!(refused.starts_with(b"\x51\x00error forwarding port 81 to pod p, uid : failed to connect"), "{}", String::from_utf8_lossy(&refused));
        world.running(0).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals() {
    both_ways(async |world| {
        let (code, words) = refused(world, "p/portforward", "v4.channel.k8s.io").await;
        assert_eq!((code, words.as_str()), (400, "query parameter \"port\" is required"));
        let (code, _) = refused(world, "nobody/portforward?ports=7", "v4.channel.k8s.io").await;
        assert_eq!(code, 404);
    })
    .await;
}
