//! What a Pod sees of its network.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

/// Answers each connection with its name, its own address of the connection, and the peer's.
pub fn serve(address: &str, name: &str) {
    let listener = match TcpListener::bind(address) {
        Ok(l) => l,
        Err(e) => return println!("bind {address}: {:?}", e.kind()),
    };
    println!("listening {}", listener.local_addr().unwrap());
    loop {
        let Ok((mut s, _)) = listener.accept() else { continue };
        let text = format!("{name} local={} peer={}", s.local_addr().unwrap(), s.peer_addr().unwrap().ip());
        let _ = s.write_all(text.as_bytes());
    }
}

/// Connects to each address and prints what it says.
pub fn dial(addresses: &[&str]) {
    for a in addresses {
        let said = one(a);
        println!("{a} -> {said}");
    }
}

fn one(address: &str) -> String {
    let to = match address.to_socket_addrs() {
        Ok(mut a) => a.next().unwrap(),
        Err(_) => return "no such name".into(),
    };
    let mut s = match TcpStream::connect(to) {
        Ok(s) => s,
        Err(e) => return format!("{:?}", e.kind()),
    };
    let remote = s.peer_addr().unwrap();
    let mut text = String::new();
    match s.read_to_string(&mut text) {
        Ok(_) => format!("{text} remote={remote}"),
        Err(e) => format!("{:?}", e.kind()),
    }
}

/// Answers each datagram with where it came from.
pub fn udp_serve(address: &str) {
    let s = match UdpSocket::bind(address) {
        Ok(s) => s,
        Err(e) => return println!("bind {address}: {:?}", e.kind()),
    };
    println!("bound {}", s.local_addr().unwrap());
    let mut b = [0; 512];
    loop {
        let Ok((n, from)) = s.recv_from(&mut b) else { continue };
        let _ = s.send_to(format!("{} from {}", String::from_utf8_lossy(&b[..n]), from.ip()).as_bytes(), from);
    }
}

/// Sends one datagram, connected or not, and prints the answer and who gave it.
pub fn udp_ask(how: &str, address: &str) {
    let s = UdpSocket::bind("0.0.0.0:0").unwrap();
    let mut b = [0; 512];
    if how == "connected" {
        if let Err(e) = s.connect(address) {
            return println!("connect: {:?}", e.kind());
        }
        if let Err(e) = s.send(b"hi") {
            return println!("send: {:?}", e.kind());
        }
        let n = s.recv(&mut b).unwrap();
        println!("{} by {}", String::from_utf8_lossy(&b[..n]), s.peer_addr().unwrap());
    } else {
        if let Err(e) = s.send_to(b"hi", address) {
            return println!("send: {:?}", e.kind());
        }
        let (n, from) = s.recv_from(&mut b).unwrap();
        println!("{} by {from}", String::from_utf8_lossy(&b[..n]));
    }
}
