//! A WASI 0.3 command for the engine's tests: the first argument says what it does.

use wasip3::cli::{environment, stderr, stdin, stdout};
use wasip3::clocks::monotonic_clock;
use wasip3::filesystem::{preopens, types as fs};
use wasip3::sockets::{ip_name_lookup, types as net};
use wasip3::wit_stream;

wasip3::cli::command::export!(Guest);

struct Guest;

impl wasip3::exports::cli::run::Guest for Guest {
    async fn run() -> Result<(), ()> {
        let args = environment::get_arguments();
        let rest: Vec<&str> = args.iter().skip(2).map(String::as_str).collect();
        match args.get(1).map(String::as_str).unwrap_or("hello") {
            "hello" => print(format!("hello from {}\n", args[0])).await,
            "env" => {
                let all: String = environment::get_environment().into_iter().map(|(k, v)| format!("{k}={v}\n")).collect();
                print(all).await;
            }
            "both" => {
                print("out\n".into()).await;
                eprint("err\n".into()).await;
            }
            "fail" => return Err(()),
            "exit" => wasip3::cli::exit::exit_with_code(rest[0].parse().unwrap()),
            "cat" => {
                let bytes = match rest.first() {
                    None => stdin::read_via_stream().0.collect().await,
                    Some(path) => read(path).await,
                };
                print(String::from_utf8(bytes).unwrap()).await;
            }
            "write" => match write(rest[0], rest[1]).await {
                Ok(()) => print("ok\n".into()).await,
                Err(e) => print(format!("{e:?}\n")).await,
            },
            "sleep" => monotonic_clock::wait_for(rest[0].parse::<u64>().unwrap() * 1_000_000).await,
            "spin" => loop {
                std::hint::black_box(0);
            },
            "trap" => panic!("asked to"),
            "serve" => serve(rest[0], rest[1]).await,
            "dial" => {
                for a in rest {
                    let said = dial(a).await;
                    print(format!("{a} -> {said}\n")).await;
                }
            }
            other => panic!("{other}?"),
        }
        Ok(())
    }
}

async fn print(text: String) {
    let (mut to, from) = wit_stream::new();
    let done = stdout::write_via_stream(from);
    to.write_all(text.into_bytes()).await;
    drop(to);
    done.await.unwrap();
}

async fn eprint(text: String) {
    let (mut to, from) = wit_stream::new();
    let done = stderr::write_via_stream(from);
    to.write_all(text.into_bytes()).await;
    drop(to);
    done.await.unwrap();
}

async fn read(path: &str) -> Vec<u8> {
    let root = &preopens::get_directories()[0].0;
    let file = root.open_at(fs::PathFlags::SYMLINK_FOLLOW, path.into(), fs::OpenFlags::empty(), fs::DescriptorFlags::READ).await.unwrap();
    file.read_via_stream(0).0.collect().await
}

async fn write(path: &str, text: &str) -> Result<(), fs::ErrorCode> {
    let root = &preopens::get_directories()[0].0;
    let file = root.open_at(fs::PathFlags::SYMLINK_FOLLOW, path.into(), fs::OpenFlags::CREATE, fs::DescriptorFlags::WRITE).await?;
    let (mut to, from) = wit_stream::new();
    let done = file.write_via_stream(from, 0);
    to.write_all(text.as_bytes().to_vec()).await;
    drop(to);
    done.await
}

fn address(text: &str) -> net::IpSocketAddress {
    match text.parse().unwrap() {
        std::net::SocketAddr::V4(a) => {
            let [b, c, d, e] = a.ip().octets();
            net::IpSocketAddress::Ipv4(net::Ipv4SocketAddress { address: (b, c, d, e), port: a.port() })
        }
        std::net::SocketAddr::V6(_) => panic!("no IPv6 here"),
    }
}

fn show(a: net::IpSocketAddress) -> String {
    match a {
        net::IpSocketAddress::Ipv4(a) => format!("{}.{}.{}.{}:{}", a.address.0, a.address.1, a.address.2, a.address.3, a.port),
        net::IpSocketAddress::Ipv6(a) => format!("{:?}:{}", a.address, a.port),
    }
}

async fn serve(at: &str, name: &str) {
    let s = net::TcpSocket::create(net::IpAddressFamily::Ipv4).unwrap();
    if let Err(e) = s.bind(address(at)) {
        return print(format!("bind {at}: {e:?}\n")).await;
    }
    let mut connections = s.listen().unwrap();
    print(format!("listening {}\n", show(s.get_local_address().unwrap()))).await;
    while let Some(c) = connections.next().await {
        let text = format!("{name} local={} peer={}", show(c.get_local_address().unwrap()), show(c.get_remote_address().unwrap()).split(':').next().unwrap());
        let (mut to, from) = wit_stream::new();
        let done = c.send(from);
        to.write_all(text.into_bytes()).await;
        drop(to);
        let _ = done.await;
    }
}

async fn dial(to: &str) -> String {
    let to = if to.starts_with(|c: char| c.is_ascii_digit()) {
        address(to)
    } else {
        let (name, port) = to.split_once(':').unwrap();
        match ip_name_lookup::resolve_addresses(name.into()).await {
            Ok(found) => match found.first() {
                Some(net::IpAddress::Ipv4(address)) => net::IpSocketAddress::Ipv4(net::Ipv4SocketAddress { address: *address, port: port.parse().unwrap() }),
                other => return format!("{other:?}"),
            },
            Err(_) => return "no such name".into(),
        }
    };
    let s = net::TcpSocket::create(net::IpAddressFamily::Ipv4).unwrap();
    if let Err(e) = s.connect(to).await {
        return format!("{e:?}");
    }
    let remote = show(s.get_remote_address().unwrap());
    let (from, _done) = s.receive();
    let text = from.collect().await;
    format!("{} remote={remote}", String::from_utf8_lossy(&text))
}
