//! `weir serve`: one node until it is told to stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tracing::{info, warn};
use weir_broker::{
    NodeFailed, OnFailure, Running, access::TokenView, api::Backend, peer::PeerPort,
};
use weir_door::{Door as _, DoorCounters, Listener, Sockets, TlsPort, sockets::LOCALHOST};
use weir_door_amqp::AmqpDoor;
use weir_door_http::{HttpConfig, HttpDoor, NodeSetting};
use weir_door_kafka::KafkaDoor;
use weir_log::disk::SystemEntropy;
use weir_model::NodeId;
use weir_peer::{PeerConfig, PeerTransport};

use crate::{
    admin::{Site, Watched},
    allocator,
    command::config::in_force,
    data_dir,
    doors::{Doors, spoken},
    ending::{Ending, MAX_NODE_ENDING, MAX_RUNTIME_ENDING},
    exposure::Exposed,
    logging::{self, Flood, LeftOut},
    membership,
    settings::{Effective, ListenAt, ServeConfig, SettingFlags},
    wiring::Machine,
};

/// Time of one look whether the node is ready.
const READY_LOOK: Duration = Duration::from_millis(250);
/// Looks between two warnings: 5 s.
const LOOKS_PER_WARNING: u32 = 20;
/// Time between two looks at what the log left out.
const LEFT_OUT_INTERVAL: Duration = Duration::from_secs(10);

/// How a node is to run.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
    /// End when standard input does: for a parent process that must leave nothing behind.
    #[arg(long, hide = true)]
    pub(crate) until_stdin_ends: bool,
}

/// Which node serves, and where.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) node: NodeId,
    /// Addresses that somebody on this machine may connect to, the first one as it was given.
    pub(crate) kafka: Vec<String>,
    pub(crate) kafka_tls: Vec<String>,
    pub(crate) amqp: Vec<String>,
    pub(crate) amqps: Vec<String>,
    pub(crate) cluster: SocketAddr,
    pub(crate) admin: Vec<String>,
    pub(crate) admin_tls: Vec<String>,
}

impl Ready {
    fn new(
        config: &ServeConfig,
        doors: &Doors,
        node: NodeId,
        [admin, admin_tls]: [Vec<String>; 2],
    ) -> io::Result<Self> {
        let of_amqp = |addresses: fn(&Listener) -> Vec<SocketAddr>| {
            doors.amqp.as_ref().map_or_else(Vec::new, addresses)
        };
        let secure = &config.door_tls;
        Ok(Self {
            node,
            kafka: told(&config.kafka, &doors.kafka.addresses()),
            kafka_tls: told_of(&secure.kafka, &doors.kafka.secure_addresses()),
            amqp: told_of(&config.amqp, &of_amqp(Listener::addresses)),
            amqps: told_of(&secure.amqp, &of_amqp(Listener::secure_addresses)),
            cluster: doors.cluster.local_addr()?,
            admin,
            admin_tls,
        })
    }
}

/// The doors of clients.
struct Clients {
    kafka: (Listener, KafkaDoor),
    amqp: Option<(Listener, AmqpDoor)>,
}

/// What is said once the node serves.
pub(crate) type WhenReady = fn(&ServeConfig, &Ready) -> anyhow::Result<()>;

/// Runs a node until a signal or a failure ends it.
pub(crate) fn run(arguments: &ServeArguments, when_ready: WhenReady) -> anyhow::Result<()> {
    let effective = Effective::load(&arguments.settings)?;
    let config = ServeConfig::new(&effective)?;
    let flood = logging::of_node(&config.log, config.logs_json)?;
    for unknown in &effective.unknown_variables {
        warn!("{unknown}");
    }
    let _lock = data_dir::lock(&config.data_dir)?;
    allocator::give_back()?;
    let runtime = tokio::runtime::Runtime::new().context("no threads for connections")?;
    runtime.spawn(tell_left_out(flood));
    let settings = in_force(&effective);
    let served = runtime.block_on(serve(arguments, (config, settings), when_ready));
    // Threads that still wait for something have nothing left to do.
    runtime.shutdown_timeout(MAX_RUNTIME_ENDING);
    served
}

async fn serve(
    arguments: &ServeArguments,
    (config, settings): (ServeConfig, Vec<NodeSetting>),
    when_ready: WhenReady,
) -> anyhow::Result<()> {
    // Heard from the moment on that others may know of the node.
    let mut ending = Ending::listen(arguments.until_stdin_ends, MAX_NODE_ENDING)?;
    let mut doors = Doors::bind(&config).await?;
    let tokens = believed(&mut doors);
    let (kafka, amqp) = client_doors(&config, &tokens);
    let (mut doors, counted) = counted(doors, &kafka, &amqp);
    let watched = watched(&config, &mut doors, counted);
    let exposed = Exposed::of(&doors);
    let http = http_door(&config, (settings, tokens), &watched);
    let admins = serve_admins(&config, &mut doors, &http);
    let (told, told_tls) = (&doors.kafka_advertised, doors.kafka_tls_advertised.as_ref());
    let machine = Machine::open(&config, told, told_tls)?;
    let identity = tokio::select! {
        settled = membership::settle(&config, &machine, &doors) => settled?,
        () = ending.asked() => return Ok(()),
    };
    let (tell_failed, mut failed) = mpsc::unbounded_channel::<NodeFailed>();
    let on_failure: OnFailure = Arc::new(move |failure| {
        // The receiver is gone only where the process ends already.
        let _ = tell_failed.send(failure);
    });
    let ready = Ready::new(&config, &doors, identity.node, admins)?;
    let transport = PeerTransport::start(PeerConfig {
        listener: doors.cluster,
        cluster: identity.cluster,
        node: identity.node,
        tls: doors.tls,
    })?;
    let peers = Arc::clone(&transport) as Arc<dyn PeerPort>;
    let opening = tokio::task::spawn_blocking(move || machine.engine(peers));
    let engine = tokio::select! {
        engine = opening => engine??,
        // Reading the log can be left at any point.
        () = ending.asked() => return Ok(()),
    };
    let running = engine
        .start(&on_failure)
        .context("no threads for the node")?;
    transport.attach(Arc::new(running.node()));
    let access = running.node().access().clone();
    watched.runs(running.observer(), access.clone());
    http.runs(running.node());
    let rules = access.clone();
    let clients = Clients {
        kafka: (doors.kafka, kafka.of(access.clone(), running.node())),
        amqp: doors.amqp.map(|listener| (listener, amqp.of(access))),
    };
    let tell = move || {
        exposed.tell(&rules, &config, ready.cluster);
        when_ready(&config, &ready)
    };
    let whole = live(running, clients, tell, &watched, &mut ending);
    let ended = tokio::select! {
        ended = whole => ended,
        // Nothing more may be acknowledged: no orderly end.
        failure = failed.recv() => {
            failure.map_or_else(|| Err(anyhow::anyhow!("the node is gone")), |it| Err(it.into()))
        }
    };
    ending.limit();
    // Last, since the other nodes count on this one's answers until the end.
    transport.stop().await;
    ended
}

/// The doors, and what they count, by name.
fn counted(
    mut doors: Doors,
    kafka: &KafkaDoor,
    amqp: &AmqpDoor,
) -> (Doors, Vec<(&'static str, Arc<DoorCounters>)>) {
    let counters = DoorCounters::new(kafka.request_labels());
    doors.kafka = doors.kafka.with_counters(Arc::clone(&counters));
    let mut counted = vec![(kafka.name(), counters)];
    if let Some(listener) = doors.amqp.take() {
        let counters = DoorCounters::new(amqp.request_labels());
        doors.amqp = Some(listener.with_counters(Arc::clone(&counters)));
        counted.push((amqp.name(), counters));
    }
    (doors, counted)
}

/// The doors before there is a node.
fn client_doors(config: &ServeConfig, tokens: &TokenView) -> (KafkaDoor, AmqpDoor) {
    let kafka = KafkaDoor::new(config.kafka_door, Arc::new(SystemEntropy));
    let kafka = kafka.believing(tokens.clone());
    let amqp = AmqpDoor::new(config.amqp_door.clone()).believing(tokens.clone());
    (kafka.naming(config.principals.clone()), amqp)
}

/// By which tokens are believed. Their keys are looked at from now on.
fn believed(doors: &mut Doors) -> TokenView {
    let tokens = doors.tokens.take().map(|keys| {
        let view = keys.view();
        tokio::spawn(keys.watch());
        view
    });
    tokens.unwrap_or_default()
}

/// The door of the admin ports.
fn http_door(
    config: &ServeConfig,
    (settings, tokens): (Vec<NodeSetting>, TokenView),
    watched: &Arc<Watched>,
) -> Arc<HttpDoor> {
    let shown = HttpConfig {
        allows_anonymous: config.allows_anonymous,
        principals: config.principals.clone(),
        tokens,
        settings,
    };
    HttpDoor::new(Site::new(Arc::clone(watched)), shown)
}

/// What the admin port looks at. Certificates are looked at from now on.
fn watched(
    config: &ServeConfig,
    doors: &mut Doors,
    counted: Vec<(&'static str, Arc<DoorCounters>)>,
) -> Arc<Watched> {
    let certificates = doors.certificates.take();
    let tls = certificates.as_ref().map(|it| Arc::clone(&it.tls));
    if let Some(certificates) = certificates {
        tokio::spawn(certificates.watch());
    }
    Watched::new(counted, tls, config.allows_anonymous)
}

/// The node from its start to its orderly end.
async fn live(
    running: Running,
    clients: Clients,
    tell_ready: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    watched: &Arc<Watched>,
    ending: &mut Ending,
) -> anyhow::Result<()> {
    let (mut running, is_ready) = wait_ready(running, ending).await?;
    if is_ready {
        let shown = Arc::clone(watched);
        let tell = move || {
            shown.serves(true);
            tell_ready()
        };
        let asked = async {
            ending.asked().await;
            watched.serves(false);
        };
        running = serve_clients(running, clients, tell, asked).await?;
    }
    tokio::task::spawn_blocking(move || running.stop()).await?;
    Ok(())
}

/// Both admin ports; gives their addresses, the plain one's first.
fn serve_admins(config: &ServeConfig, doors: &mut Doors, http: &Arc<HttpDoor>) -> [Vec<String>; 2] {
    let plain = doors.admin.take().map(|sockets| (sockets, None));
    let secure = doors.admin_tls.take();
    let secure = secure.map(|(sockets, port)| (sockets, Some(port)));
    [
        serve_admin(&config.admin, plain, http),
        serve_admin(&config.door_tls.admin, secure, http),
    ]
}

/// Answers on the admin port until the process ends; gives its addresses.
fn serve_admin(
    at: &ListenAt,
    port: Option<(Sockets, Option<TlsPort>)>,
    http: &Arc<HttpDoor>,
) -> Vec<String> {
    let Some((sockets, tls)) = port else {
        return Vec::new();
    };
    let addresses = sockets.addresses();
    tokio::spawn(weir_door_http::serve(sockets, tls, Arc::clone(http)));
    told_of(at, &addresses)
}

/// As [`told`], for a port that need not be there.
fn told_of(at: &ListenAt, bound: &[SocketAddr]) -> Vec<String> {
    match at {
        ListenAt::Off => Vec::new(),
        _ if bound.is_empty() => Vec::new(),
        ListenAt::Default(given) | ListenAt::Set(given) => told(given, bound),
    }
}

/// Waits until requests can be served, however long the other nodes need; `false` where the
/// process is to end before.
async fn wait_ready(mut running: Running, ending: &mut Ending) -> anyhow::Result<(Running, bool)> {
    for look in 1_u32.. {
        let mut looked = tokio::task::spawn_blocking(move || {
            let is_ready = running.wait_ready(READY_LOOK);
            (running, is_ready)
        });
        let is_ready;
        tokio::select! {
            seen = &mut looked => (running, is_ready) = seen?,
            () = ending.asked() => {
                (running, _) = looked.await?;
                return Ok((running, false));
            }
        }
        if is_ready {
            return Ok((running, true));
        }
        if look % LOOKS_PER_WARNING == 0 {
            warn!("waits for other nodes: not every group has a leader that this node knows of");
        }
    }
    Ok((running, false))
}

/// Serves until the process is to end; leaders have moved elsewhere and connections are closed
/// when it returns.
async fn serve_clients(
    running: Running,
    clients: Clients,
    tell_ready: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ending: impl Future<Output = ()>,
) -> anyhow::Result<Running> {
    let (stop, stopped) = watch::channel(false);
    let node = running.node();
    let backend: Arc<dyn Backend> = Arc::new(Arc::clone(&node));
    let mut serving = JoinSet::new();
    let (listener, door) = clients.kafka;
    serving.spawn(weir_door::serve(
        listener,
        Arc::new(door),
        Arc::clone(&backend),
        stopped.clone(),
    ));
    if let Some((listener, door)) = clients.amqp {
        serving.spawn(weir_door::serve(listener, Arc::new(door), backend, stopped));
    }
    tokio::pin!(ending);
    tokio::select! {
        told = tokio::task::spawn_blocking(tell_ready) => {
            told??;
            ending.await;
        }
        () = &mut ending => {}
    }
    let handed_over = tokio::task::spawn_blocking(move || {
        running.hand_over();
        let leads_nothing = !running.node().is_leading_anything();
        info!(leads_nothing, "handed over what could be handed over");
        running
    });
    let running = handed_over.await?;
    // Nobody may be listening any more, and the door ends all the same.
    let _ = stop.send(true);
    node.release_waits();
    while let Some(served) = serving.join_next().await {
        served?;
    }
    Ok(running)
}

/// Says now and then what the log left out.
async fn tell_left_out(flood: Flood) {
    loop {
        tokio::time::sleep(LEFT_OUT_INTERVAL).await;
        for LeftOut { file, line, count } in flood.take_left_out() {
            warn!(
                count,
                at = format!("{file}:{line}"),
                "lines like others were left out"
            );
        }
    }
}

/// A listener's addresses for people: the first as it was given, then others that it does not
/// stand for.
fn told(given: &[String], bound: &[SocketAddr]) -> Vec<String> {
    let first = spoken(given, bound);
    let others = bound.iter().filter(|address| {
        let is_first = address.to_string() == first.to_string();
        let is_meant = first.host == LOCALHOST && address.ip().is_loopback();
        !(is_first || is_meant && address.port() == first.port)
    });
    let others = others.map(SocketAddr::to_string);
    [first.to_string()].into_iter().chain(others).collect()
}

/// The block that says where to connect.
pub(crate) fn announce_ready(config: &ServeConfig, ready: &Ready) -> anyhow::Result<()> {
    println!("WeirMQ  {}", env!("CARGO_PKG_VERSION"));
    println!("data    {}", config.data_dir.display());
    println!("kafka   {}", ready.kafka.join(" "));
    let optional = |name: &str, addresses: &[String]| {
        if !addresses.is_empty() {
            println!("{name:<7} {}", addresses.join(" "));
        }
    };
    optional("kafka-tls", &ready.kafka_tls);
    optional("amqp", &ready.amqp);
    optional("amqps", &ready.amqps);
    println!("cluster {}", ready.cluster);
    optional("admin", &ready.admin);
    optional("admin-tls", &ready.admin_tls);
    println!("node    {}", ready.node);
    Ok(())
}
