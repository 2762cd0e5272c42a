// Long: the one table of all settings.
//! The table. A setting has one name, and with it one flag (`--data-dir`), one environment
//! variable (`WEIR_DATA_DIR`) and one key in the file (`data-dir`).

use weir_access::token::TokenRules;
use weir_broker::NodeConfig;
use weir_door::limits::{MAX_CONNECTIONS_COUNT, MAX_IDLE, MAX_NODE_REQUEST_BYTES};
use weir_door_amqp::AmqpConfig;
use weir_door_kafka::KafkaConfig;
use weir_tls::CertificateLogin;

use crate::host_port::HostPort;

/// What a value looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// Several of them; empty where none is given.
    Texts,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`; as a flag without a value: `true`.
    Switch,
    /// A whole number within these bounds.
    Number { min: u64, max: u64 },
    /// Where something is reached.
    HostPort,
    /// Several of them; empty where none is given.
    HostPorts,
    /// Addresses to listen on.
    Listen,
    /// As [`Kind::Listen`], or `off`.
    ListenOrOff,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Lower case, words joined by dashes.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What stands for the value in help texts.
    pub(crate) value_name: &'static str,
    /// What it does, with the unit of its value.
    pub(crate) doc: &'static str,
    /// As a person would write it; `None`: unset.
    pub(crate) default: fn() -> Option<String>,
}

/// Word in place of addresses: do not listen.
pub(crate) const OFF: &str = "off";
/// Most values of one setting, such as addresses of one listener.
const MAX_VALUE_COUNT: usize = 16;

const fn unset() -> Option<String> {
    None
}

pub(crate) const DATA_DIR: Setting = Setting {
    name: "data-dir",
    kind: Kind::Text,
    value_name: "DIR",
    doc: "Directory for all data; made where it is absent.",
    default: || Some("weir-data".to_owned()),
};

pub(crate) const KAFKA: Setting = Setting {
    name: "kafka",
    kind: Kind::Listen,
    value_name: "HOST:PORT",
    doc: "Addresses of the Kafka door, comma-separated. `localhost` means 127.0.0.1 and ::1, 0.0.0.0 \
          every IPv4 address, [::] every address. Port 0 picks a free one.",
    default: || Some("localhost:9092".to_owned()),
};

pub(crate) const KAFKA_ADVERTISE: Setting = Setting {
    name: "kafka-advertise",
    kind: Kind::HostPort,
    value_name: "HOST:PORT",
    doc: "Where clients are told to connect, if not at the first address of the Kafka door.",
    default: unset,
};

pub(crate) const AMQP: Setting = Setting {
    name: "amqp",
    kind: Kind::ListenOrOff,
    value_name: "HOST:PORT",
    doc: "Addresses of the AMQP 0-9-1 door, as those of the Kafka door. `off`: none. Where this is not \
          set and port 5672 is taken, a free port is.",
    default: || Some("localhost:5672".to_owned()),
};

pub(crate) const AMQP_VERSION: Setting = Setting {
    name: "amqp-version",
    kind: Kind::Text,
    value_name: "VERSION",
    doc: "Version of RabbitMQ that AMQP clients are told, as x.y.z: several of them behave by it.",
    default: || Some(AmqpConfig::default().version),
};

pub(crate) const AMQP_GUEST_FROM_ANYWHERE: Setting = Setting {
    name: "amqp-guest-from-anywhere",
    kind: Kind::Switch,
    value_name: "BOOL",
    doc: "Let AMQP's user guest in from other machines too, such as from outside of a container, where \
          you trust the network (RabbitMQ's loopback_users.guest = false).",
    default: || Some("false".to_owned()),
};

pub(crate) const ALLOW_ANONYMOUS: Setting = Setting {
    name: "allow-anonymous",
    kind: Kind::Switch,
    value_name: "BOOL",
    doc: "Until there is a user, let clients of other machines in as well, to do everything: where you \
          trust the network. Without it they are refused until weir user add has made one.",
    default: || Some("false".to_owned()),
};

pub(crate) const KAFKA_TLS_PRINCIPAL_RULES: Setting = Setting {
    name: "kafka-tls-principal-rules",
    kind: Kind::Text,
    value_name: "RULES",
    doc: "Which principal a client's certificate stands for, by its subject: rules of the form \
          RULE:pattern/replacement/[LU] or DEFAULT, with commas between them, of which the first that fits \
          counts (Kafka's ssl.principal.mapping.rules).",
    default: || Some("DEFAULT".to_owned()),
};

pub(crate) const AMQPS_LOGIN_FROM: Setting = Setting {
    name: "amqps-login-from",
    kind: Kind::Choice(&CertificateLogin::WORDS),
    value_name: "WHERE",
    doc: "Where a client's certificate says which user it is, who logs in by EXTERNAL (RabbitMQ's \
          ssl_cert_login_from).",
    default: || Some("distinguished_name".to_owned()),
};

pub(crate) const AMQPS_LOGIN_SAN_TYPE: Setting = Setting {
    name: "amqps-login-san-type",
    kind: Kind::Choice(&["dns", "ip", "email", "uri"]),
    value_name: "TYPE",
    doc: "With amqps-login-from = subject_alternative_name: the names of which kind count (RabbitMQ's \
          ssl_cert_login_san_type).",
    default: || Some("dns".to_owned()),
};

pub(crate) const AMQPS_LOGIN_SAN_INDEX: Setting = Setting {
    name: "amqps-login-san-index",
    kind: Kind::Number { min: 0, max: 63 },
    value_name: "INDEX",
    doc: "With amqps-login-from = subject_alternative_name: which of them, from 0 (RabbitMQ's \
          ssl_cert_login_san_index).",
    default: || Some("0".to_owned()),
};

pub(crate) const AMQP_PASSWORDS_WITHOUT_TLS: Setting = Setting {
    name: "amqp-passwords-without-tls",
    kind: Kind::Switch,
    value_name: "BOOL",
    doc: "Let AMQP's users log in from other machines without TLS too, where you trust the network: \
          their passwords can be read on the way.",
    default: || Some("false".to_owned()),
};

pub(crate) const AMQP_CONSUMER_TIMEOUT_MS: Setting = Setting {
    name: "amqp-consumer-timeout-ms",
    kind: Kind::Number {
        min: 0,
        max: 365 * 24 * 3_600_000,
    },
    value_name: "MS",
    doc: "A channel whose client has not acknowledged a delivery after this long is closed, in ms, where \
          neither the consumer nor its queue says another time (RabbitMQ's consumer_timeout). 0: never.",
    default: || Some(AmqpConfig::default().consumer_timeout_ms.to_string()),
};

pub(crate) const KAFKA_TLS: Setting = Setting {
    name: "kafka-tls",
    kind: Kind::ListenOrOff,
    value_name: "HOST:PORT",
    doc: "Addresses of the Kafka door for clients that speak TLS, beside the plain ones. Listened on where \
          tls-certificate-file is set. `off`: none.",
    default: || Some("localhost:9093".to_owned()),
};

pub(crate) const KAFKA_TLS_ADVERTISE: Setting = Setting {
    name: "kafka-tls-advertise",
    kind: Kind::HostPort,
    value_name: "HOST:PORT",
    doc: "Where clients that speak TLS are told to connect, if not at the first address of kafka-tls.",
    default: unset,
};

pub(crate) const AMQPS: Setting = Setting {
    name: "amqps",
    kind: Kind::ListenOrOff,
    value_name: "HOST:PORT",
    doc: "Addresses of the AMQP 0-9-1 door for clients that speak TLS, beside the plain ones. Listened on \
          where tls-certificate-file is set. `off`: none.",
    default: || Some("localhost:5671".to_owned()),
};

pub(crate) const ADMIN_TLS: Setting = Setting {
    name: "admin-tls",
    kind: Kind::ListenOrOff,
    value_name: "HOST:PORT",
    doc: "Addresses of the admin port over HTTPS, beside those over HTTP. `off`: none.",
    default: || Some(OFF.to_owned()),
};

pub(crate) const TLS_CERTIFICATE_FILE: Setting = Setting {
    name: "tls-certificate-file",
    kind: Kind::Text,
    value_name: "FILE",
    doc: "Certificate that clients are shown, with those between it and its authority (PEM). This and all \
          other files of TLS for clients are looked at every 5 s, and used anew when they have changed.",
    default: unset,
};

pub(crate) const TLS_KEY_FILE: Setting = Setting {
    name: "tls-key-file",
    kind: Kind::Text,
    value_name: "FILE",
    doc: "Its private key (PEM).",
    default: unset,
};

pub(crate) const TLS_CERTIFICATE_DIR: Setting = Setting {
    name: "tls-certificate-dir",
    kind: Kind::Text,
    value_name: "DIR",
    doc: "More certificates: each NAME.pem or NAME.crt with its key in NAME.key. A client that says which \
          host it wants (SNI) is shown one for that host, any other client that of tls-certificate-file.",
    default: unset,
};

pub(crate) const TLS_CLIENT_CA_FILE: Setting = Setting {
    name: "tls-client-ca-file",
    kind: Kind::Text,
    value_name: "FILE",
    doc: "Certificates of the authorities whose clients are believed (PEM). With tls-client-auth.",
    default: unset,
};

pub(crate) const TLS_CLIENT_AUTH: Setting = Setting {
    name: "tls-client-auth",
    kind: Kind::Choice(&["none", "want", "require"]),
    value_name: "HOW",
    doc: "Whether clients are asked for a certificate: not at all, asked for one and let in without, or \
          none let in without (Kafka's ssl.client.auth: none, requested, required).",
    default: || Some("none".to_owned()),
};

pub(crate) const TLS_MIN_VERSION: Setting = Setting {
    name: "tls-min-version",
    kind: Kind::Choice(&["1.2", "1.3"]),
    value_name: "VERSION",
    doc: "The oldest version of TLS that clients may speak.",
    default: || Some("1.2".to_owned()),
};

pub(crate) const TOKEN_KEYS: Setting = Setting {
    name: "token-keys",
    kind: Kind::Text,
    value_name: "FILE|URL",
    doc: "Keys of those whose tokens (JWT) are logins: a JWK set (RFC 7517), in a file or at a URL of http or \
          https. A file is looked at every 5 s; for a URL see token-keys-refresh-ms. Keys stay in use where no \
          others can be had (Kafka's sasl.oauthbearer.jwks.endpoint.url, RabbitMQ's auth_oauth2.jwks_uri).",
    default: unset,
};

pub(crate) const TOKEN_KEYS_CA_FILE: Setting = Setting {
    name: "token-keys-ca-file",
    kind: Kind::Text,
    value_name: "FILE",
    doc: "Certificates of the authorities that are believed where token-keys is reached by https (PEM).",
    default: || Some("/etc/ssl/certs/ca-certificates.crt".to_owned()),
};

pub(crate) const TOKEN_KEYS_REFRESH_MS: Setting = Setting {
    name: "token-keys-refresh-ms",
    kind: Kind::Number {
        min: 1_000,
        max: 24 * 3_600_000,
    },
    value_name: "MS",
    doc: "How long the keys of a URL are used before it is asked again, in ms. It is asked sooner, after 10 s at \
          least, when a token names a key that is not known or it did not answer (Kafka's \
          sasl.oauthbearer.jwks.endpoint.refresh.ms).",
    default: || Some("3600000".to_owned()),
};

pub(crate) const TOKEN_ISSUER: Setting = Setting {
    name: "token-issuer",
    kind: Kind::Text,
    value_name: "ISSUER",
    doc: "Who has to have made a token: its claim `iss` (Kafka's sasl.oauthbearer.expected.issuer).",
    default: unset,
};

pub(crate) const TOKEN_AUDIENCE: Setting = Setting {
    name: "token-audience",
    kind: Kind::Texts,
    value_name: "AUDIENCE",
    doc: "For whom a token has to be meant: its claim `aud` names one of these, comma-separated. Without it, \
          tokens for others are believed too (Kafka's sasl.oauthbearer.expected.audience, RabbitMQ's \
          auth_oauth2.resource_server_id).",
    default: unset,
};

pub(crate) const TOKEN_PRINCIPAL_CLAIM: Setting = Setting {
    name: "token-principal-claim",
    kind: Kind::Texts,
    value_name: "CLAIM",
    doc: "The claims that tell whom a token names, comma-separated: the first that is there counts (Kafka's \
          sasl.oauthbearer.sub.claim.name, RabbitMQ's auth_oauth2.preferred_username_claims).",
    default: || Some("sub".to_owned()),
};

pub(crate) const TOKEN_SCOPE_PREFIX: Setting = Setting {
    name: "token-scope-prefix",
    kind: Kind::Text,
    value_name: "PREFIX",
    doc: "A token's scopes that begin so are RabbitMQ's permissions, such as `rabbitmq.` of \
          rabbitmq.read:*/orders-*. Unset: nothing follows from scopes (RabbitMQ's auth_oauth2.scope_prefix).",
    default: unset,
};

pub(crate) const TOKEN_CLOCK_SKEW_MS: Setting = Setting {
    name: "token-clock-skew-ms",
    kind: Kind::Number {
        min: 0,
        max: 3_600_000,
    },
    value_name: "MS",
    doc: "By how much the clocks of those who make tokens and of this node may differ, in ms: so much longer \
          tokens hold, and so much earlier (Kafka's sasl.oauthbearer.clock.skew.seconds).",
    default: || Some(TokenRules::default().clock_skew_ms.to_string()),
};

pub(crate) const RACK: Setting = Setting {
    name: "rack",
    kind: Kind::Text,
    value_name: "NAME",
    doc: "Where this node stands, such as its availability zone. Kafka clients whose client.rack is the \
          same read from it, whoever leads.",
    default: unset,
};

pub(crate) const CLUSTER: Setting = Setting {
    name: "cluster",
    kind: Kind::Listen,
    value_name: "HOST:PORT",
    doc: "Address of the peer port, for the other nodes. Port 0 picks a free one.",
    default: || Some("127.0.0.1:9192".to_owned()),
};

pub(crate) const CLUSTER_ADVERTISE: Setting = Setting {
    name: "cluster-advertise",
    kind: Kind::HostPort,
    value_name: "HOST:PORT",
    doc: "Where the other nodes reach this one, if not at the address of the peer port.",
    default: unset,
};

pub(crate) const CLUSTER_CERT: Setting = Setting {
    name: "cluster-cert",
    kind: Kind::Text,
    value_name: "FILE",
    doc: "Certificate that this node shows to nodes (PEM). With cluster-key and cluster-ca.",
    default: unset,
};

pub(crate) const CLUSTER_KEY: Setting = Setting {
    name: "cluster-key",
    kind: Kind::Text,
    value_name: "FILE",
    doc: "Its private key (PEM).",
    default: unset,
};

pub(crate) const CLUSTER_CA: Setting = Setting {
    name: "cluster-ca",
    kind: Kind::Text,
    value_name: "FILE",
    doc: "Certificate of the authority that signed all nodes' certificates (PEM).",
    default: unset,
};

pub(crate) const CLUSTER_VERIFY_NAMES: Setting = Setting {
    name: "cluster-verify-names",
    kind: Kind::Switch,
    value_name: "BOOL",
    doc: "Believe another node only where its certificate names, among its alternative names, the host that \
          it is reached at. The same on all nodes.",
    default: || Some("false".to_owned()),
};

pub(crate) const INIT: Setting = Setting {
    name: "init",
    kind: Kind::Switch,
    value_name: "BOOL",
    doc: "Found a cluster of one, where the data directory belongs to none yet. What happens without \
          join anyway, said explicitly.",
    default: || Some("false".to_owned()),
};

pub(crate) const JOIN: Setting = Setting {
    name: "join",
    kind: Kind::HostPorts,
    value_name: "HOST:PORT",
    doc: "Join the cluster of the node with this peer port, where the data directory belongs to none \
          yet. May be repeated: all are tried, until one admits this node.",
    default: unset,
};

pub(crate) const SHARDS: Setting = Setting {
    name: "shards",
    kind: Kind::Number {
        min: 1,
        max: weir_broker::config::MAX_SHARD_COUNT as u64,
    },
    value_name: "COUNT",
    doc: "Groups that a cluster founded here spreads its partitions over, for good. 16 unless set.",
    default: unset,
};

pub(crate) const ADMIN: Setting = Setting {
    name: "admin",
    kind: Kind::ListenOrOff,
    value_name: "HOST:PORT",
    doc: "Addresses of the admin port: /metrics, /healthz, /readyz over HTTP, to whoever connects, and the admin API below /api/v1. \
          `off`: none. Where this is not set and port 9644 is taken, a free port is.",
    default: || Some("localhost:9644".to_owned()),
};

pub(crate) const LOG: Setting = Setting {
    name: "log",
    kind: Kind::Text,
    value_name: "LEVELS",
    doc: "What is logged to stderr: error, warn, info, debug or trace, or by part of the program, such \
          as warn,weir_broker=debug.",
    default: || Some("warn".to_owned()),
};

pub(crate) const LOG_FORMAT: Setting = Setting {
    name: "log-format",
    kind: Kind::Choice(&["text", "json"]),
    value_name: "FORMAT",
    doc: "Log lines for people (text), or one JSON object a line (json).",
    default: || Some("text".to_owned()),
};

pub(crate) const MAX_CONNECTIONS: Setting = Setting {
    name: "max-connections",
    kind: Kind::Number {
        min: 1,
        max: 1_000_000,
    },
    value_name: "COUNT",
    doc: "Connections of clients at a time. The next one waits until one ends.",
    default: || Some(MAX_CONNECTIONS_COUNT.to_string()),
};

pub(crate) const CONNECTION_IDLE_MS: Setting = Setting {
    name: "connection-idle-ms",
    kind: Kind::Number {
        min: 1_000,
        max: 7 * 24 * 3_600_000,
    },
    value_name: "MS",
    doc: "A connection without traffic is closed after this long, in ms (Kafka's \
          connections.max.idle.ms).",
    default: || Some(MAX_IDLE.as_millis().to_string()),
};

pub(crate) const REQUEST_MEMORY_BYTES: Setting = Setting {
    name: "request-memory-bytes",
    kind: Kind::Number {
        min: 1 << 20,
        max: u32::MAX as u64,
    },
    value_name: "BYTES",
    doc: "Requests held in memory, all connections together, in bytes. Past it sockets are not read.",
    default: || Some(MAX_NODE_REQUEST_BYTES.to_string()),
};

pub(crate) const ANSWER_MEMORY_BYTES: Setting = Setting {
    name: "answer-memory-bytes",
    kind: Kind::Number {
        min: 1 << 20,
        max: 1 << 40,
    },
    value_name: "BYTES",
    doc: "Records on their way to Kafka's clients, all connections together, in bytes. Past it a client is given \
          little at a time, and nothing more before it has read that.",
    default: || Some(KafkaConfig::default().answer_memory_bytes.to_string()),
};

pub(crate) const TAIL_MEMORY_BYTES: Setting = Setting {
    name: "tail-memory-bytes",
    kind: Kind::Number {
        min: 16 << 20,
        max: 1 << 40,
    },
    value_name: "BYTES",
    doc: "Memory for recent messages, from which consumers at the end are served, in bytes.",
    default: || Some(NodeConfig::default().store.tail_budget_bytes.to_string()),
};

pub(crate) const TRANSIENT_MEMORY_BYTES: Setting = Setting {
    name: "transient-memory-bytes",
    kind: Kind::Number {
        min: 16 << 20,
        max: 1 << 40,
    },
    value_name: "BYTES",
    doc: "Memory for messages of transient queues, in bytes. Past it they go to segments, unsynced.",
    default: || {
        Some(
            NodeConfig::default()
                .store
                .transient_budget_bytes
                .to_string(),
        )
    },
};

pub(crate) const WAL_MAX_BYTES: Setting = Setting {
    name: "wal-max-bytes",
    kind: Kind::Number {
        min: 256 << 20,
        max: 1 << 40,
    },
    value_name: "BYTES",
    doc: "Most that the write-ahead log may hold before writers wait for its flusher, in bytes.",
    default: || Some(NodeConfig::default().wal.max_total_bytes.to_string()),
};

pub(crate) const FETCH_MAX_BYTES: Setting = Setting {
    name: "fetch-max-bytes",
    kind: Kind::Number {
        min: 1 << 10,
        max: 64 << 20,
    },
    value_name: "BYTES",
    doc: "Most bytes of records in one answer to a consumer, whatever it allows (Kafka's \
          fetch.max.bytes).",
    default: || Some(KafkaConfig::default().max_fetch_bytes.to_string()),
};

pub(crate) const DEFAULT_PARTITIONS: Setting = Setting {
    name: "default-partitions",
    kind: Kind::Number {
        min: 1,
        max: 10_000,
    },
    value_name: "COUNT",
    doc: "Partitions of a topic that does not say (Kafka's num.partitions).",
    default: || Some(NodeConfig::default().default_partition_count.to_string()),
};

pub(crate) const AUTO_CREATE_TOPICS: Setting = Setting {
    name: "auto-create-topics",
    kind: Kind::Switch,
    value_name: "BOOL",
    doc: "Make topics on first use, where the client asks for that (Kafka's \
          auto.create.topics.enable).",
    default: || Some(NodeConfig::default().auto_create_topics.to_string()),
};

pub(crate) const GROUP_INITIAL_REBALANCE_DELAY_MS: Setting = Setting {
    name: "group-initial-rebalance-delay-ms",
    kind: Kind::Number {
        min: 0,
        max: 60_000,
    },
    value_name: "MS",
    doc: "How long an empty consumer group waits for more members after the first, in ms (Kafka's \
          group.initial.rebalance.delay.ms).",
    default: || {
        let groups = NodeConfig::default().groups;
        Some(groups.initial_rebalance_delay_ms.to_string())
    },
};

pub(crate) const CLEANUP_INTERVAL_MS: Setting = Setting {
    name: "cleanup-interval-ms",
    kind: Kind::Number {
        min: 100,
        max: 24 * 3_600_000,
    },
    value_name: "MS",
    doc: "Time between two looks at retention and compaction, in ms (Kafka's \
          log.retention.check.interval.ms).",
    default: || Some(NodeConfig::default().cleanup_interval_ms.to_string()),
};

pub(crate) const CATCH_UP_BYTES_PER_S: Setting = Setting {
    name: "catch-up-bytes-per-s",
    kind: Kind::Number {
        min: 0,
        max: 1 << 40,
    },
    value_name: "BYTES",
    doc: "Most bytes a second that this node brings from others for replicas that are far behind. 0: no \
          limit.",
    default: || Some(NodeConfig::default().catch_up_bytes_per_s.to_string()),
};

/// All of them, in the order in which they are printed.
pub(crate) const SETTINGS: [&Setting; 57] = [
    &DATA_DIR,
    &KAFKA,
    &KAFKA_ADVERTISE,
    &KAFKA_TLS,
    &KAFKA_TLS_ADVERTISE,
    &KAFKA_TLS_PRINCIPAL_RULES,
    &AMQP,
    &AMQPS,
    &AMQP_VERSION,
    &AMQP_GUEST_FROM_ANYWHERE,
    &AMQP_PASSWORDS_WITHOUT_TLS,
    &AMQPS_LOGIN_FROM,
    &AMQPS_LOGIN_SAN_TYPE,
    &AMQPS_LOGIN_SAN_INDEX,
    &AMQP_CONSUMER_TIMEOUT_MS,
    &ALLOW_ANONYMOUS,
    &TLS_CERTIFICATE_FILE,
    &TLS_KEY_FILE,
    &TLS_CERTIFICATE_DIR,
    &TLS_CLIENT_CA_FILE,
    &TLS_CLIENT_AUTH,
    &TLS_MIN_VERSION,
    &TOKEN_KEYS,
    &TOKEN_KEYS_CA_FILE,
    &TOKEN_KEYS_REFRESH_MS,
    &TOKEN_ISSUER,
    &TOKEN_AUDIENCE,
    &TOKEN_PRINCIPAL_CLAIM,
    &TOKEN_SCOPE_PREFIX,
    &TOKEN_CLOCK_SKEW_MS,
    &RACK,
    &CLUSTER,
    &CLUSTER_ADVERTISE,
    &CLUSTER_CERT,
    &CLUSTER_KEY,
    &CLUSTER_CA,
    &CLUSTER_VERIFY_NAMES,
    &INIT,
    &JOIN,
    &SHARDS,
    &ADMIN,
    &ADMIN_TLS,
    &LOG,
    &LOG_FORMAT,
    &MAX_CONNECTIONS,
    &CONNECTION_IDLE_MS,
    &REQUEST_MEMORY_BYTES,
    &ANSWER_MEMORY_BYTES,
    &TAIL_MEMORY_BYTES,
    &TRANSIENT_MEMORY_BYTES,
    &WAL_MAX_BYTES,
    &FETCH_MAX_BYTES,
    &DEFAULT_PARTITIONS,
    &AUTO_CREATE_TOPICS,
    &GROUP_INITIAL_REBALANCE_DELAY_MS,
    &CLEANUP_INTERVAL_MS,
    &CATCH_UP_BYTES_PER_S,
];

impl Setting {
    /// Its environment variable.
    pub(crate) fn variable(&self) -> String {
        let name = self.name.replace('-', "_").to_ascii_uppercase();
        format!("WEIR_{name}")
    }

    /// Whether it may have several values.
    pub(crate) fn is_list(&self) -> bool {
        match self.kind {
            Kind::Texts | Kind::HostPorts | Kind::Listen | Kind::ListenOrOff => true,
            Kind::Text | Kind::Choice(_) | Kind::Switch | Kind::Number { .. } | Kind::HostPort => {
                false
            }
        }
    }

    /// The values that a text stands for: its parts between commas, or itself.
    pub(crate) fn split(&self, text: &str) -> Vec<String> {
        if self.is_list() {
            let parts = text.split(',').map(|part| part.trim().to_owned());
            parts.filter(|part| !part.is_empty()).collect()
        } else {
            vec![text.to_owned()]
        }
    }

    /// Why the values are none of this setting.
    pub(crate) fn check(&self, values: &[String]) -> Result<(), String> {
        if self.is_list() && values.len() > MAX_VALUE_COUNT {
            return Err(format!("more than {MAX_VALUE_COUNT} values"));
        }
        let is_listening = matches!(self.kind, Kind::Listen | Kind::ListenOrOff);
        if is_listening && values.is_empty() {
            return Err("at least one address is needed".to_owned());
        }
        if values.len() == 1 && values[0] == OFF && matches!(self.kind, Kind::ListenOrOff) {
            return Ok(());
        }
        values.iter().try_for_each(|value| self.check_one(value))
    }

    fn check_one(&self, value: &str) -> Result<(), String> {
        match self.kind {
            Kind::Text | Kind::Texts if value.is_empty() => Err("must not be empty".to_owned()),
            Kind::Text | Kind::Texts => Ok(()),
            Kind::Choice(words) if words.contains(&value) => Ok(()),
            Kind::Choice(words) => Err(format!("`{value}` is none of {}", words.join(", "))),
            Kind::Switch if matches!(value, "true" | "false") => Ok(()),
            Kind::Switch => Err(format!("`{value}` is neither true nor false")),
            Kind::Number { min, max } => match value.parse::<u64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(()),
                Ok(_) | Err(_) => Err(format!("`{value}` is no whole number from {min} to {max}")),
            },
            Kind::HostPort | Kind::HostPorts => value.parse::<HostPort>().map(drop),
            Kind::Listen | Kind::ListenOrOff => {
                // Port 0 is for listening only; what is left must be an address all the same.
                let text = match value.strip_suffix(":0") {
                    Some(host) => format!("{host}:1"),
                    None => value.to_owned(),
                };
                text.parse::<HostPort>().map(drop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    /// Name, variable, default and text of every setting, as the documentation has it.
    fn documented() -> String {
        let mut text = String::from(
            "# Settings of a node\n\nEach has one name: a flag of `weir serve` (`--data-dir`), an environment \
             variable (`WEIR_DATA_DIR`) and a key\nof the file that `--config` or `WEIR_CONFIG` names \
             (`data-dir`). The first of them that is given counts. This page is\nmade from the program: \
             `WEIR_WRITE_DOCS=1 cargo test -p weir settings` writes it.\n\n\
             | Name | Variable | Default | What it does |\n|---|---|---|---|\n",
        );
        for setting in SETTINGS {
            let default = match (setting.default)() {
                Some(default) => format!("`{default}`"),
                None => "-".to_owned(),
            };
            let (name, variable, doc) = (setting.name, setting.variable(), setting.doc);
            text.push_str(&format!(
                "| `{name}` | `{variable}` | {default} | {doc} |\n"
            ));
        }
        text
    }

    #[test]
    fn the_documentation_has_every_setting() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/node-settings.md");
        if std::env::var_os("WEIR_WRITE_DOCS").is_some() {
            std::fs::write(&path, documented()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), documented());
    }

    #[test]
    fn names_are_unique_and_make_flags_and_variables() {
        let names: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        assert_eq!(names.len(), SETTINGS.len());
        for setting in SETTINGS {
            let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(setting.name.chars().all(is_name), "{}", setting.name);
            assert!(setting.doc.ends_with('.'), "{}", setting.name);
        }
        assert_eq!(DATA_DIR.variable(), "WEIR_DATA_DIR");
    }

    #[test]
    fn every_default_is_a_value_of_its_setting() {
        for setting in SETTINGS {
            if let Some(text) = (setting.default)() {
                let values = setting.split(&text);
                assert_eq!(setting.check(&values), Ok(()), "{}", setting.name);
            }
        }
    }

    #[test]
    fn numbers_at_their_bounds_pass_and_one_past_them_do_not() {
        for setting in SETTINGS {
            let Kind::Number { min, max } = setting.kind else {
                continue;
            };
            let passes = |number: u64| setting.check(&[number.to_string()]).is_ok();
            assert!(passes(min) && passes(max), "{}", setting.name);
            assert!(!passes(max + 1), "{}", setting.name);
            assert!(min == 0 || !passes(min - 1), "{}", setting.name);
        }
    }

    #[test]
    fn what_cannot_be_listened_on_is_refused() {
        let many: Vec<String> = (1..=17).map(|port| format!("a:{port}")).collect();
        assert!(KAFKA.check(&many[..16]).is_ok());
        assert!(KAFKA.check(&many).is_err());
        for good in ["localhost:0", "[::]:9092", "0.0.0.0:9092", "a:1,b:2"] {
            assert_eq!(KAFKA.check(&KAFKA.split(good)), Ok(()), "{good}");
        }
        for bad in ["", "9092", "localhost", "::1:9092", "off", "a:1,b"] {
            assert!(KAFKA.check(&KAFKA.split(bad)).is_err(), "{bad}");
        }
        assert_eq!(ADMIN.check(&ADMIN.split("off")), Ok(()));
        assert!(ADMIN.check(&ADMIN.split("off,a:1")).is_err());
    }
}
