//! One question of the wire, answered with records.

use std::sync::atomic::Ordering;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::Dns;
use crate::dns::MOST_ALIASES;
use crate::records::{Answer, Data, Kind};

/// Seconds that a record of the cluster may be kept.
const TTL: u32 = 30;

/// What goes into the message.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) code: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
    /// Why there is no answer, where the code is SERVFAIL.
    pub(crate) error: Option<String>,
}

impl Dns {
    /// Answers a question; the records bear the name as it was asked, in its own case.
    pub(crate) async fn reply(&self, asked: &Name, kind: RecordType) -> Reply {
        let (mut reply, mut owner) = (Reply { authoritative: true, ..Reply::default() }, asked.clone());
        for _ in 0..MOST_ALIASES {
            let text = owner.to_lowercase().to_ascii();
            let answer = self.records.read().query(text.strip_suffix('.').unwrap_or(&text), kind_of(kind));
            match answer {
                Answer::Elsewhere => {
                    self.ask_outside(&owner, kind, &mut reply).await;
                    return reply;
                }
                Answer::NoName | Answer::NoData => {
                    if !self.all_listed() {
                        if self.is_synced().await {
                            continue;
                        }
                        let error = Some("the cluster's Services are not known yet".to_owned());
                        return Reply { code: ResponseCode::ServFail, error, ..Reply::default() };
                    }
                    // After an alias the alias is the answer, whatever its target is.
                    if answer == Answer::NoName {
                        reply.code = ResponseCode::NXDomain;
                    }
                    reply.authorities.extend(self.start_of_authority());
                    return reply;
                }
                Answer::Found { records, additional } => {
                    let alias = match &records[..] {
                        [Data::Cname(target)] if kind != RecordType::CNAME => name(target),
                        _ => None,
                    };
                    let records = records.into_iter().filter_map(|data| Some(Record::from_rdata(owner.clone(), TTL, self.data(data)?)));
                    reply.answers.extend(self.turned(records.collect()));
                    reply.additionals.extend(additional.into_iter().filter_map(|(target, ip)| Some(Record::from_rdata(name(&target)?, TTL, RData::A(A(ip))))));
                    let Some(target) = alias else { return reply };
                    owner = target;
                }
            }
        }
        Reply { code: ResponseCode::ServFail, error: Some("too many aliases one after the other".to_owned()), ..Reply::default() }
    }

    async fn ask_outside(&self, owner: &Name, kind: RecordType, reply: &mut Reply) {
        let first = reply.answers.is_empty();
        reply.authoritative &= !first;
        match self.upstream.ask(owner, kind).await {
            Ok(message) => {
                reply.code = message.metadata.response_code;
                reply.answers.extend(message.answers.iter().cloned());
                reply.authorities.extend(message.authorities.iter().cloned());
            }
            Err(error) => {
                tracing::debug!(name = %owner, %kind, %error, "asking outside");
                reply.code = ResponseCode::ServFail;
                reply.error = Some(error.to_string());
            }
        }
    }

    fn data(&self, data: Data) -> Option<RData> {
        Some(match data {
            Data::A(ip) => RData::A(A(ip)),
            Data::Cname(target) => RData::CNAME(CNAME(name(&target)?)),
            Data::Srv { port, weight, target } => RData::SRV(SRV::new(0, weight, port, name(&target)?)),
            Data::Ptr(target) => RData::PTR(PTR(name(&target)?)),
            Data::Ns(target) => RData::NS(NS(name(&target)?)),
            Data::Txt(text) => RData::TXT(TXT::new(vec![text])),
            Data::Soa => self.start_of_authority()?.data,
        })
    }

    fn start_of_authority(&self) -> Option<Record> {
        let domain = self.records.read().domain().to_owned();
        let (server, mailbox) = (name(&format!("ns.dns.{domain}"))?, name(&format!("hostmaster.{domain}"))?);
        let soa = SOA::new(server, mailbox, self.serial.load(Ordering::Relaxed), 7200, 1800, 86_400, TTL);
        Some(Record::from_rdata(name(&domain)?, TTL, RData::SOA(soa)))
    }
}

fn name(text: &str) -> Option<Name> {
    Name::from_ascii(format!("{text}.")).ok()
}

fn kind_of(kind: RecordType) -> Kind {
    match kind {
        RecordType::A => Kind::A,
        RecordType::SRV => Kind::Srv,
        RecordType::PTR => Kind::Ptr,
        RecordType::TXT => Kind::Txt,
        RecordType::SOA => Kind::Soa,
        RecordType::NS => Kind::Ns,
        RecordType::CNAME => Kind::Cname,
        _ => Kind::Other,
    }
}
