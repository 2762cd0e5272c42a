//! Clients as real ones are: they look for the leader, wait for so long, and try again.

use std::collections::{BTreeMap, BTreeSet};

use weir_broker::{
    Ticket,
    api::{CreateTopics, Metadata, NewTopic, Request, TopicRef},
};
use weir_model::TopicName;

use super::{
    answers::{Asked, What},
    books::Place,
    events::Event,
    groups::GroupClient,
    plan::ClientPlan,
    producers::Producer,
    run::Cluster,
    seat::Seat,
    shares::{FIRST_LETTERS_TOPIC, letters_topic_name},
    transactors::Transactor,
};

/// One client with its own view of the cluster.
pub(super) struct Client {
    pub(super) kind: Kind,
    /// Machines of the partitions' leaders, as far as they are known.
    pub(super) routes: BTreeMap<Place, usize>,
    is_refreshing: bool,
    /// Its connections, by machine.
    connections: BTreeMap<usize, Connection>,
    /// Machines of coordinators, by what they coordinate.
    coordinators: BTreeMap<String, usize>,
    is_looking: bool,
    /// Its seat in a group, where it has one.
    pub(super) seat: Option<Seat>,
}

/// A client's way to a machine. What goes on one stays in order; what is still under way on one
/// that was given up may arrive after what goes on the next.
#[derive(Debug, Default)]
struct Connection {
    /// Among all of the run, in the order in which they were made.
    number: u64,
    /// When the last request on it arrives.
    last_ms: u64,
}

/// What a client does.
pub(super) enum Kind {
    Producer(Producer),
    /// Sends without a producer id: what has no answer may be stored several times.
    Plain {
        under_way: BTreeSet<u64>,
        /// To be sent again.
        failed: Vec<u64>,
    },
    /// Reads from any leader, with positions of its own.
    Reader {
        positions: BTreeMap<Place, u64>,
        /// Sees committed records only.
        is_committed: bool,
    },
    Group(GroupClient),
    Transactor(Transactor),
    /// Reads what its seat in a group gives it.
    Consumer,
    /// A member of a share group.
    Member,
}

impl Client {
    pub(super) fn all(plan: &ClientPlan) -> Vec<Self> {
        let producers = (0..plan.producer_count).map(|number| {
            let takes_next_epoch = plan.epoch_raisers >> number & 1 == 1;
            Kind::Producer(Producer::new(takes_next_epoch))
        });
        let plains = (0..plan.plain_count).map(|_| Kind::Plain {
            under_way: BTreeSet::new(),
            failed: Vec::new(),
        });
        let readers = (0..plan.reader_count).map(|number| Kind::Reader {
            positions: BTreeMap::new(),
            is_committed: plan.committed_readers >> number & 1 == 1,
        });
        let groups = (0..plan.group_count).map(|group| Kind::Group(GroupClient::new(group)));
        let kinds = producers.chain(plains).chain(readers).chain(groups);
        let kinds = kinds.map(|kind| (kind, None));
        let members = plan.member_counts.iter().enumerate();
        let members = members.flat_map(|(group, count)| (0..*count).map(move |_| group));
        let members = members.map(|group| (Kind::Consumer, Some(Seat::new(group, false))));
        let copiers = plan.member_counts.len();
        let transactors = Transactor::all(plan)
            .enumerate()
            .map(|(number, transactor)| {
                let copies = number >= plan.transactor_count;
                let seat = copies.then(|| Seat::new(copiers, true));
                (Kind::Transactor(transactor), seat)
            });
        let client = |(kind, seat)| Self {
            seat,
            ..Self::of(kind)
        };
        kinds
            .chain(members)
            .chain(transactors)
            .map(client)
            .collect()
    }

    /// One that knows nothing yet.
    pub(super) fn of(kind: Kind) -> Self {
        Self {
            kind,
            routes: BTreeMap::new(),
            is_refreshing: false,
            connections: BTreeMap::new(),
            coordinators: BTreeMap::new(),
            is_looking: false,
            seat: None,
        }
    }

    /// What the client knows of the cluster may be old.
    pub(super) fn forget_route(&mut self, place: Place) {
        self.routes.remove(&place);
    }

    /// The client gives a connection up: the next request goes on a new one.
    pub(super) fn disconnect(&mut self, machine: usize) {
        self.connections.remove(&machine);
    }

    /// It has no connections any more: a new process begins.
    pub(super) fn disconnect_all(&mut self) {
        self.connections.clear();
    }

    pub(super) fn refreshed(&mut self) {
        self.is_refreshing = false;
    }
}

pub(super) fn topic_name(topic: usize) -> TopicName {
    let name = match topic >= FIRST_LETTERS_TOPIC {
        true => letters_topic_name(topic),
        false => format!("topic-{topic}"),
    };
    TopicName::new(&name).expect("letters, a dash and digits are a name")
}

pub(super) fn topic_ref(topic: usize) -> TopicRef {
    TopicRef::Name(topic_name(topic))
}

impl Cluster<'_> {
    pub(super) fn client_turn(&mut self, client: usize) {
        self.give_up_waiting();
        self.create_topics(client);
        match &self.clients[client].kind {
            Kind::Producer(_) => self.producer_turn(client),
            Kind::Plain { .. } => self.plain_turn(client),
            Kind::Reader { .. } => self.reader_turn(client),
            Kind::Group(_) => self.group_turn(client),
            Kind::Transactor(_) => {
                self.seat_turn(client);
                self.transactor_turn(client);
            }
            Kind::Consumer => {
                self.seat_turn(client);
                self.consumer_turn(client);
            }
            Kind::Member => self.share_turn(client),
        }
    }

    /// Sends a request to a machine; `false`: the connection is refused.
    pub(super) fn ask(
        &mut self,
        machine: usize,
        client: usize,
        request: Request,
        what: What,
    ) -> bool {
        let ticket = Ticket(self.next_ticket);
        if self.machines[machine].process.is_none() {
            return false;
        }
        self.next_ticket += 1;
        let asked = Asked {
            client,
            machine,
            sent_ms: self.now_ms,
            due_ms: self.now_ms + self.plan.clients.timeout_ms + what.more_ms(),
            what,
        };
        self.counts.add("requests", 1);
        let words = [machine as u64, client as u64, ticket.0];
        self.trace.event("asked", &words, || {
            format!("{}: {client} of {machine}: {:?}", ticket.0, asked.what)
        });
        self.open.insert(ticket, asked);
        let at_ms = self.arrival_of(machine, client);
        let event = Event::Request {
            machine,
            life: self.machines[machine].life,
            ticket,
            request,
        };
        self.queue.put(at_ms, event);
        true
    }

    /// When a request that is sent now reaches the machine.
    fn arrival_of(&mut self, machine: usize, client: usize) -> u64 {
        let plan = &self.plan.clients;
        let mut at_ms = self.now_ms + self.rng.below(plan.max_delay_ms + 1);
        if !self.is_ending && self.rng.chance(plan.stalled_per_mille) {
            self.counts.add("requests_stalled", 1);
            at_ms += self.rng.below(2 * plan.timeout_ms);
        }
        self.connection(client, machine);
        let connections = &mut self.clients[client].connections;
        let last_ms = &mut connections.entry(machine).or_default().last_ms;
        *last_ms = at_ms.max(*last_ms);
        *last_ms
    }

    /// Number of the client's connection to the machine, which is made where there is none.
    pub(super) fn connection(&mut self, client: usize, machine: usize) -> u64 {
        let next = &mut self.next_connection;
        let connections = &mut self.clients[client].connections;
        let connection = connections.entry(machine).or_insert_with(|| {
            *next += 1;
            Connection {
                number: *next,
                last_ms: 0,
            }
        });
        connection.number
    }

    /// Who coordinates what has that name, as the client knows it; looks for it where it does not.
    pub(super) fn coordinator(&mut self, client: usize, name: &str) -> Option<usize> {
        let known = self.clients[client].coordinators.get(name).copied();
        if known.is_some() || self.clients[client].is_looking {
            return known;
        }
        let machine = self.any_up()?;
        let name = name.to_owned();
        let request = Request::FindCoordinator(vec![name.clone()]);
        self.clients[client].is_looking = self.ask(machine, client, request, What::Find { name });
        None
    }

    pub(super) fn looked(&mut self, client: usize, found: Option<(String, usize)>) {
        let client = &mut self.clients[client];
        client.is_looking = false;
        client.coordinators.extend(found);
    }

    /// Some coordinator is not where the client thought it was.
    pub(super) fn forget_coordinators(&mut self, client: usize) {
        self.clients[client].coordinators.clear();
    }

    /// A request arrives where the process is still the one that the connection goes to.
    pub(super) fn deliver(&mut self, machine: usize, life: u64, ticket: Ticket, request: Request) {
        let there = &mut self.machines[machine];
        if there.life != life {
            return;
        }
        if let Some(process) = &mut there.process {
            process.ask(ticket, request);
            self.wake(machine);
        }
    }

    /// The partition's leader as the client knows it; asks for it where it does not.
    pub(super) fn route(&mut self, client: usize, place: Place) -> Option<usize> {
        let known = self.clients[client].routes.get(&place).copied();
        if let Some(machine) = known {
            if self.machines[machine].process.is_some() {
                return Some(machine);
            }
            self.clients[client].forget_route(place);
        }
        if !self.clients[client].is_refreshing
            && let Some(machine) = self.any_up()
        {
            let metadata = Metadata {
                topics: None,
                auto_create: false,
            };
            let request = Request::Metadata(metadata);
            self.clients[client].is_refreshing = self.ask(machine, client, request, What::Metadata);
        }
        None
    }

    pub(super) fn places(&self) -> Vec<Place> {
        let topics = self.plan.topics.iter().enumerate();
        topics
            .filter(|(topic, _)| self.created.contains(topic))
            .flat_map(|(topic, plan)| (0..plan.partition_count).map(move |index| (topic, index)))
            .collect()
    }

    pub(super) fn any_place(&mut self) -> Option<Place> {
        let places = self.places();
        (!places.is_empty()).then(|| self.rng.pick(&places))
    }

    fn create_topics(&mut self, client: usize) {
        for topic in 0..self.plan.topics.len() {
            let is_asked = self
                .open
                .values()
                .any(|asked| matches!(asked.what, What::Create { topic: other } if other == topic));
            if self.created.contains(&topic) || is_asked {
                continue;
            }
            let Some(machine) = self.any_up() else {
                return;
            };
            let request = self.create_request(topic);
            self.ask(machine, client, request, What::Create { topic });
        }
    }

    fn create_request(&self, topic: usize) -> Request {
        let plan = self.plan.topics[topic];
        let mut configs = vec![("segment.bytes", plan.segment_bytes.to_string())];
        configs.extend(
            plan.retention_bytes
                .map(|bytes| ("retention.bytes", bytes.to_string())),
        );
        let configs = configs.into_iter();
        Request::CreateTopics(CreateTopics {
            topics: vec![NewTopic {
                name: format!("topic-{topic}"),
                partition_count: Some(plan.partition_count),
                replication_factor: None,
                configs: configs
                    .map(|(name, value)| (name.to_owned(), Some(value)))
                    .collect(),
                assignments: None,
            }],
            validate_only: false,
        })
    }
}
