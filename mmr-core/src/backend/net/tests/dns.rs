//! A name server that says what the test wants.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{CNAME, SRV},
    },
};
use tokio::{net::UdpSocket, task::JoinSet};

/// Listens on this machine until it is dropped. Nothing that it says may be cached.
pub(super) struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct Zone {
    records: HashMap<String, Vec<RData>>,
    broken: Vec<(String, RecordType)>,
    asked: Vec<(String, RecordType)>,
}

impl NameServer {
    pub(super) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::<Mutex<Zone>>::default();
        let mut task = JoinSet::new();
        task.spawn(serve(socket, Arc::clone(&zone)));
        Self { address, zone, _task: task }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn address_of(&self, name: &str, address: &str) {
        let data = match address.parse().unwrap() {
            IpAddr::V4(v4) => RData::A(v4.into()),
            IpAddr::V6(v6) => RData::AAAA(v6.into()),
        };
        self.add(name, data);
    }

    pub(super) fn service(&self, name: &str, priority: u16, port: u16, target: &str) {
        let target = Name::from_ascii(target).unwrap();
        self.add(name, RData::SRV(SRV::new(priority, 0, port, target)));
    }

    pub(super) fn alias(&self, name: &str, target: &str) {
        self.add(name, RData::CNAME(CNAME(Name::from_ascii(target).unwrap())));
    }

    /// From now on questions about the name and type end with SERVFAIL.
    pub(super) fn break_name(&self, name: &str, kind: RecordType) {
        self.zone.lock().unwrap().broken.push((name.to_owned(), kind));
    }

    pub(super) fn times_asked(&self, name: &str, kind: RecordType) -> usize {
        let zone = self.zone.lock().unwrap();
        zone.asked.iter().filter(|asked| asked.0 == name && asked.1 == kind).count()
    }

    fn add(&self, name: &str, data: RData) {
        self.zone.lock().unwrap().records.entry(name.to_owned()).or_default().push(data);
    }
}

impl Zone {
    fn answer(&mut self, question: &Message) -> Message {
        let query = question.queries[0].clone();
        let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let kind = query.query_type();
        self.asked.push((name.clone(), kind));
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        if self.broken.contains(&(name.clone(), kind)) {
            answer.metadata.response_code = ResponseCode::ServFail;
        } else if let Some(records) = self.records.get(&name) {
            let is_asked_for = |data: &&RData| [kind, RecordType::CNAME].contains(&data.record_type());
            let matching = records.iter().filter(is_asked_for);
            answer
                .add_answers(matching.map(|data| Record::from_rdata(query.name().clone(), 0, data.clone())));
        } else {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer.add_query(query);
        answer
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 4096];
    loop {
        let (len, peer) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..len]).unwrap();
        let answer = zone.lock().unwrap().answer(&question);
        socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
    }
}
