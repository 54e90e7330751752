//! `nslookup [-type=TYPE]… [-port=PORT] [-debug] HOST [SERVER]`

use std::net::{IpAddr, SocketAddr};

use super::dns::{self, Answer, Data, Settings, TYPES};
use crate::context::{Context, Error, Result};
use crate::net;

pub async fn nslookup(cx: &mut Context) -> Result {
    let (mut types, mut port, mut operands) = (Vec::new(), 53, Vec::new());
    for word in &cx.args[1..] {
        let Some(option) = word.strip_prefix('-').filter(|option| !option.is_empty()) else {
            operands.push(word.clone());
            continue;
        };
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match name {
            "type" | "query" | "querytype" | "q" => {
                let known = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(value));
                types.push(known.ok_or_else(|| Error::new(format!("invalid query type \"{value}\"")))?.1);
            }
            "port" => port = value.parse().map_err(|_| Error::new(format!("invalid number '{value}'")))?,
            "debug" | "timeout" | "retry" => {}
            _ => return Err(Error::usage(format!("invalid option -- '{option}'"))),
        }
    }
    let (host, server) = match operands.as_slice() {
        [host] => (host.clone(), None),
        [host, server] => (host.clone(), Some(server.clone())),
        _ => return Err(Error::usage("usage: nslookup [-type=QUERY_TYPE] [-debug] HOST [DNS_SERVER]")),
    };
    let text = std::fs::read_to_string(cx.path("/etc/resolv.conf")).unwrap_or_default();
    let settings = Settings::read(&text);
    let servers = match &server {
        Some(server) => net::lookup(server).await.map_err(|_| Error::new(format!("bad address '{server}'")))?,
        None if settings.servers.is_empty() => vec![IpAddr::from([127, 0, 0, 1])],
        None => settings.servers.clone(),
    };
    let literal: Option<IpAddr> = host.parse().ok();
    let names = match literal {
        Some(address) if types.is_empty() => {
            types.push(12);
            vec![reverse(address)]
        }
        _ => settings.candidates(&host),
    };
    if types.is_empty() {
        types.extend([1, 28]);
    }
    let mut reached = None;
    let mut answers: Vec<(String, Answer)> = Vec::new();
    for candidate in &names {
        answers.clear();
        for kind in &types {
            for server in &servers {
                let server = SocketAddr::new(*server, port);
                if let Ok(answer) = dns::ask(server, candidate, *kind).await {
                    reached.get_or_insert(server);
                    answers.push((candidate.clone(), answer));
                    break;
                }
            }
        }
        if answers.iter().any(|(_, answer)| answer.code == 0) {
            break;
        }
    }
    let Some(server) = reached else {
        cx.stdout.write(";; connection timed out; no servers could be reached\n\n").await?;
        return Ok(1);
    };
    cx.stdout.write(format!("Server:\t\t{}\nAddress:\t{server}\n\n", server.ip())).await?;
    let mut code = 0;
    for (name, answer) in &answers {
        let shown = if answer.code == 0 || literal.is_some() { name } else { &host };
        if answer.code != 0 {
            code = 1;
        }
        cx.stdout.write(show(shown, answer) + "\n").await?;
    }
    Ok(code)
}

fn show(name: &str, answer: &Answer) -> String {
    if answer.code != 0 {
        let words = match answer.code {
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            _ => "unknown error",
        };
        return format!("** server can't find {name}: {words}\n");
    }
    let mut text = String::new();
    if !answer.authoritative {
        text += "Non-authoritative answer:\n";
    }
    for record in &answer.records {
        let name = &record.name;
        text += &match &record.data {
            Data::Address(address) => format!("Name:\t{name}\nAddress: {address}\n"),
            Data::Alias(to) => format!("{name}\tcanonical name = {to}\n"),
            Data::Pointer(to) => format!("{name}\tname = {to}\n"),
            Data::Server(to) => format!("{name}\tnameserver = {to}\n"),
            Data::Exchange(preference, to) => format!("{name}\tmail exchanger = {preference} {to}\n"),
            Data::Text(text) => format!("{name}\ttext = \"{text}\"\n"),
            Data::Service(priority, weight, port, to) => format!("{name}\tservice = {priority} {weight} {port} {to}\n"),
            Data::Authority { name: origin, mail, numbers: [serial, refresh, retry, expire, minimum] } => format!(
                "{name}\n\torigin = {origin}\n\tmail addr = {mail}\n\tserial = {serial}\n\trefresh = {refresh}\n\tretry = {retry}\n\texpire = {expire}\n\tminimum = {minimum}\n"
            ),
        };
    }
    text
}

/// The name under which an address is asked for.
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let digits: Vec<String> = v6.octets().iter().rev().map(|byte| format!("{:x}.{:x}", byte & 15, byte >> 4)).collect();
            format!("{}.ip6.arpa", digits.join("."))
        }
    }
}
