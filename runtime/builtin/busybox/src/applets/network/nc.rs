//! `nc [-nuvz] [-w SECONDS] [-q SECONDS] HOST PORT`, `nc -l [-k] -p PORT [-e PROG ARGS]`

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::context::{Context, Error, Result};
use crate::io::{Output, pipe, reason};
use crate::net::{self, TcpListener, TcpStream, UdpSocket};
use crate::rt::{self, Either};

pub async fn nc(cx: &mut Context) -> Result {
    // What follows `-e` is the program and its arguments.
    let mut arguments = cx.args[1..].to_vec();
    let mut program = None;
    if let Some(at) = arguments.iter().position(|word| word.starts_with('-') && word.ends_with('e') && !word.starts_with("--")) {
        program = Some(arguments.split_off(at + 1));
        let flags = arguments.pop().unwrap_or_default();
        let rest = flags.trim_end_matches('e');
        if rest.len() > 1 {
            arguments.push(rest.into());
        }
    }
    let mut options = crate::options::Options::parse(&arguments, "lkp:s:w:q:nuvzi:o:", &[])?;
    // `nc -l 8080` is understood as well.
    let seconds = |letter: char| -> Result<Option<Duration>> {
        options.value(letter).map(|text| text.parse::<u64>().map(Duration::from_secs).map_err(|_| Error::new(format!("invalid number '{text}'")))).transpose()
    };
    let (limit, linger) = (seconds('w')?, seconds('q')?);
    let number = |text: &str| text.parse::<u16>().map_err(|_| Error::new(format!("bad port '{text}'")));
    if options.has('l') {
        let port = match options.value('p').map(String::from).or_else(|| options.operands.pop()) {
            Some(port) => number(&port)?,
            None => 0,
        };
        let at = SocketAddr::new(options.value('s').and_then(|address| address.parse().ok()).unwrap_or(Ipv4Addr::UNSPECIFIED.into()), port);
        if options.has('u') {
            return listen_udp(cx, at).await;
        }
        let listener = TcpListener::bind(at).await.map_err(|error| Error::new(format!("bind: {}", reason(&error))))?;
        if options.has('v') {
            cx.warn(format!("listening on {} ...", listener.local()?)).await;
        }
        loop {
            let accepted = match limit {
                Some(limit) => rt::timeout(limit, listener.accept()).await.ok_or_else(|| Error::new("timed out"))?,
                None => listener.accept().await,
            };
            let (stream, peer) = accepted?;
            if options.has('v') {
                cx.warn(format!("connect to {} from {peer}", listener.local()?)).await;
            }
            match &program {
                Some(program) if options.has('k') => rt::spawn(serve(cx.child(program.clone()), stream)).detach(),
                Some(program) => return Ok(serve(cx.child(program.clone()), stream).await),
                None => {
                    talk(cx, &stream, linger).await?;
                }
            }
            if !options.has('k') {
                return Ok(0);
            }
        }
    }
    let [host, port] = options.operands.as_slice() else {
        return Err(Error::usage("usage: nc [-nuvz] [-w SEC] HOST PORT | nc -l [-k] -p PORT [-e PROG ARGS]"));
    };
    let port = number(port)?;
    if options.has('u') {
        let address = net::lookup(host).await.map_err(|_| Error::new(format!("bad address '{host}'")))?[0];
        return talk_udp(cx, SocketAddr::new(address, port), limit).await;
    }
    let addresses = net::lookup(host).await.map_err(|_| Error::new(format!("bad address '{host}'")))?;
    let address = SocketAddr::new(addresses[0], port);
    let connecting = TcpStream::connect(address);
    let connected = match limit {
        Some(limit) => rt::timeout(limit, connecting).await.ok_or_else(|| Error::new("timed out"))?,
        None => connecting.await,
    };
    let stream = connected.map_err(|error| Error::new(format!("can't connect to remote host ({}): {}", address.ip(), reason(&error))))?;
    if options.has('v') {
        cx.warn(format!("{host} ({address}) open")).await;
    }
    if options.has('z') {
        return Ok(0);
    }
    if let Some(program) = program {
        return Ok(serve(cx.child(program), stream).await);
    }
    talk(cx, &stream, linger).await
}

/// Standard input to the other side and back, until the other side ends.
async fn talk(cx: &Context, stream: &TcpStream, linger: Option<Duration>) -> Result {
    let sending = async {
        loop {
            let bytes = cx.stdin.read(32 << 10).await?;
            if bytes.is_empty() {
                break;
            }
            stream.write_all(&bytes).await?;
        }
        stream.finish().await?;
        match linger {
            Some(linger) => rt::sleep(linger).await,
            None => std::future::pending().await,
        }
        std::io::Result::Ok(())
    };
    let receiving = async {
        loop {
            let bytes = stream.read(32 << 10).await?;
            if bytes.is_empty() {
                return std::io::Result::Ok(());
            }
            cx.stdout.write(bytes).await?;
            cx.stdout.flush().await?;
        }
    };
    match rt::select(receiving, sending).await {
        Either::Left(done) | Either::Right(done) => done?,
    }
    Ok(0)
}

/// A program whose standard streams are a connection.
async fn serve(mut child: Context, stream: TcpStream) -> i32 {
    let (input, to_program) = pipe();
    let (from_program, output) = pipe();
    child.stdin = input;
    child.stdout = Output::new(output);
    let incoming = stream.clone();
    let feeder = rt::spawn(async move {
        while let Ok(bytes) = incoming.read(32 << 10).await {
            if bytes.is_empty() || to_program.write_all(&bytes).await.is_err() {
                break;
            }
        }
    });
    let running = child.run();
    let draining = async {
        while let Ok(bytes) = from_program.read(32 << 10).await {
            if bytes.is_empty() || stream.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = stream.finish().await;
    };
    let (code, ()) = rt::join(running, draining).await;
    drop(feeder);
    code
}

async fn listen_udp(cx: &Context, at: SocketAddr) -> Result {
    let socket = UdpSocket::bind(at).await.map_err(|error| Error::new(format!("bind: {}", reason(&error))))?;
    let (bytes, peer) = socket.receive_from().await?;
    cx.stdout.write(bytes).await?;
    exchange_udp(cx, &socket, peer, None).await
}

async fn talk_udp(cx: &Context, to: SocketAddr, limit: Option<Duration>) -> Result {
    let local = SocketAddr::new(if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() }, 0);
    let socket = UdpSocket::bind(local).await?;
    exchange_udp(cx, &socket, to, limit).await
}

async fn exchange_udp(cx: &Context, socket: &UdpSocket, peer: SocketAddr, limit: Option<Duration>) -> Result {
    let sending = async {
        loop {
            let bytes = cx.stdin.read(1400).await?;
            if bytes.is_empty() {
                break;
            }
            socket.send_to(&bytes, peer).await?;
        }
        rt::sleep(limit.unwrap_or(Duration::from_secs(1 << 30))).await;
        std::io::Result::Ok(())
    };
    let receiving = async {
        loop {
            let (bytes, from) = socket.receive_from().await?;
            if from == peer {
                cx.stdout.write(bytes).await?;
                cx.stdout.flush().await?;
            }
        }
    };
    let done: std::io::Result<()> = match rt::select(receiving, sending).await {
        Either::Left(done) | Either::Right(done) => done,
    };
    done?;
    Ok(0)
}
