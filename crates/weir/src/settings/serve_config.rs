//! The settings of one node, as values of their types.

use std::path::PathBuf;

use weir_broker::{NodeConfig, config::DEFAULT_SHARD_COUNT};
use weir_door_amqp::AmqpConfig;
use weir_door_kafka::KafkaConfig;
use weir_tls::{
    AlternativeNameKind, CertificateLogin, ClientAuth, MinVersion, PrincipalRules, TlsFiles,
};

use super::{
    Effective, Origin,
    table::{self, OFF, Setting},
    token_config::TokenConfig,
};
use crate::{cluster_tls::ClusterTls, exit_code::Usage, host_port::HostPort};

/// Where a port listens that need not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAt {
    Off,
    /// As nobody said otherwise: another port will do.
    Default(Vec<String>),
    Set(Vec<String>),
}

/// TLS for clients.
#[derive(Clone, Debug)]
pub(crate) struct DoorTls {
    /// `None`: no port speaks TLS.
    pub(crate) files: Option<TlsFiles>,
    pub(crate) kafka: ListenAt,
    pub(crate) kafka_advertise: Option<HostPort>,
    pub(crate) amqp: ListenAt,
    pub(crate) admin: ListenAt,
}

impl Default for DoorTls {
    fn default() -> Self {
        Self {
            files: None,
            kafka: ListenAt::Off,
            kafka_advertise: None,
            amqp: ListenAt::Off,
            admin: ListenAt::Off,
        }
    }
}

/// What one node runs with.
#[derive(Clone, Debug)]
pub(crate) struct ServeConfig {
    pub(crate) data_dir: PathBuf,
    pub(crate) kafka: Vec<String>,
    pub(crate) kafka_advertise: Option<HostPort>,
    pub(crate) amqp: ListenAt,
    pub(crate) door_tls: DoorTls,
    pub(crate) cluster: String,
    pub(crate) cluster_advertise: Option<HostPort>,
    pub(crate) tls: ClusterTls,
    pub(crate) init: bool,
    pub(crate) join: Vec<HostPort>,
    pub(crate) shards: u32,
    pub(crate) admin: ListenAt,
    pub(crate) log: String,
    pub(crate) logs_json: bool,
    pub(crate) max_connections_count: usize,
    pub(crate) connection_idle_ms: u64,
    pub(crate) request_memory_bytes: usize,
    pub(crate) kafka_door: KafkaConfig,
    /// Whom certificates of Kafka's clients name.
    pub(crate) principals: PrincipalRules,
    /// Until there is a user, clients of other machines may do everything as well.
    pub(crate) allows_anonymous: bool,
    pub(crate) amqp_door: AmqpConfig,
    /// `None`: no tokens are taken.
    pub(crate) tokens: Option<TokenConfig>,
    /// What of the node's own settings is set.
    pub(crate) node: NodeConfig,
}

impl ServeConfig {
    /// Refuses what does not go together.
    pub(crate) fn new(effective: &Effective) -> Result<Self, Usage> {
        let read = Read(effective);
        let shards = effective.entry(&table::SHARDS);
        let allows_anonymous = read.is_on(&table::ALLOW_ANONYMOUS);
        let config = Self {
            data_dir: read.text(&table::DATA_DIR).into(),
            kafka: read.texts(&table::KAFKA),
            kafka_advertise: read.host_port(&table::KAFKA_ADVERTISE)?,
            amqp: read.listen_at(&table::AMQP),
            door_tls: door_tls(&read)?,
            cluster: read.one_address(&table::CLUSTER)?,
            cluster_advertise: read.host_port(&table::CLUSTER_ADVERTISE)?,
            tls: ClusterTls {
                cluster_cert: read.path(&table::CLUSTER_CERT),
                cluster_key: read.path(&table::CLUSTER_KEY),
                cluster_ca: read.path(&table::CLUSTER_CA),
                cluster_verify_names: read.is_on(&table::CLUSTER_VERIFY_NAMES),
            },
            init: read.is_on(&table::INIT),
            join: read.host_ports(&table::JOIN)?,
            shards: match shards.values.is_empty() {
                true => DEFAULT_SHARD_COUNT,
                false => read.number_u32(&table::SHARDS),
            },
            admin: read.listen_at(&table::ADMIN),
            log: read.text(&table::LOG),
            logs_json: read.text(&table::LOG_FORMAT) == "json",
            max_connections_count: read.size(&table::MAX_CONNECTIONS),
            connection_idle_ms: read.number(&table::CONNECTION_IDLE_MS),
            request_memory_bytes: read.size(&table::REQUEST_MEMORY_BYTES),
            kafka_door: KafkaConfig {
                max_fetch_bytes: read.size(&table::FETCH_MAX_BYTES),
                answer_memory_bytes: read.size(&table::ANSWER_MEMORY_BYTES),
                allows_anonymous,
                ..KafkaConfig::default()
            },
            principals: principals(&read)?,
            allows_anonymous,
            amqp_door: AmqpConfig {
                version: read.text(&table::AMQP_VERSION),
                guest_from_anywhere: allows_anonymous
                    || read.is_on(&table::AMQP_GUEST_FROM_ANYWHERE),
                certificate_login: certificate_login(&read),
                passwords_without_tls: read.is_on(&table::AMQP_PASSWORDS_WITHOUT_TLS),
                consumer_timeout_ms: read.number(&table::AMQP_CONSUMER_TIMEOUT_MS),
            },
            tokens: TokenConfig::read(&read)?,
            node: node(&read),
        };
        if !config.join.is_empty() && (config.init || !shards.values.is_empty()) {
            let other = if config.init { "init" } else { "shards" };
            let reason =
                format!("{other} is for founding a cluster, join for joining one: not both");
            return Err(Usage(reason));
        }
        Ok(config)
    }
}

fn principals(read: &Read<'_>) -> Result<PrincipalRules, Usage> {
    let setting = &table::KAFKA_TLS_PRINCIPAL_RULES;
    let rules = PrincipalRules::parse(&read.text(setting));
    rules.map_err(|error| Usage(format!("{}: {error}", setting.name)))
}

fn certificate_login(read: &Read<'_>) -> CertificateLogin {
    let kind = match read.text(&table::AMQPS_LOGIN_SAN_TYPE).as_str() {
        "ip" => AlternativeNameKind::Ip,
        "email" => AlternativeNameKind::Email,
        "uri" => AlternativeNameKind::Uri,
        _ => AlternativeNameKind::Dns,
    };
    let index = read.size(&table::AMQPS_LOGIN_SAN_INDEX);
    let word = read.text(&table::AMQPS_LOGIN_FROM);
    CertificateLogin::of_word(&word, kind, index).unwrap_or_default()
}

fn door_tls(read: &Read<'_>) -> Result<DoorTls, Usage> {
    let (certificate, key) = (&table::TLS_CERTIFICATE_FILE, &table::TLS_KEY_FILE);
    let files = match (read.path(certificate), read.path(key)) {
        (Some(certificate), Some(key)) => TlsFiles {
            certificate,
            key,
            directory: read.path(&table::TLS_CERTIFICATE_DIR),
            client_authorities: read.path(&table::TLS_CLIENT_CA_FILE),
            client_auth: match read.text(&table::TLS_CLIENT_AUTH).as_str() {
                "require" => ClientAuth::Require,
                "want" => ClientAuth::Want,
                _ => ClientAuth::None,
            },
            min_version: match read.text(&table::TLS_MIN_VERSION).as_str() {
                "1.3" => MinVersion::Tls13,
                _ => MinVersion::Tls12,
            },
        },
        (None, None) => return without_certificate(read),
        (_, _) => {
            let what = format!("{} and {} go together", certificate.name, key.name);
            return Err(Usage(what));
        }
    };
    if (files.client_auth == ClientAuth::None) != files.client_authorities.is_none() {
        let what = format!(
            "{} other than none and {} go together",
            table::TLS_CLIENT_AUTH.name,
            table::TLS_CLIENT_CA_FILE.name
        );
        return Err(Usage(what));
    }
    Ok(DoorTls {
        kafka: read.listen_at(&table::KAFKA_TLS),
        kafka_advertise: read.host_port(&table::KAFKA_TLS_ADVERTISE)?,
        amqp: read.listen_at(&table::AMQPS),
        admin: read.listen_at(&table::ADMIN_TLS),
        files: Some(files),
    })
}

/// Nobody may believe that a port is there, or asks for certificates, that is not.
fn without_certificate(read: &Read<'_>) -> Result<DoorTls, Usage> {
    for setting in [
        &table::KAFKA_TLS,
        &table::KAFKA_TLS_ADVERTISE,
        &table::AMQPS,
        &table::ADMIN_TLS,
        &table::TLS_CERTIFICATE_DIR,
        &table::TLS_CLIENT_CA_FILE,
        &table::TLS_CLIENT_AUTH,
        &table::TLS_MIN_VERSION,
        &table::KAFKA_TLS_PRINCIPAL_RULES,
        &table::AMQPS_LOGIN_FROM,
        &table::AMQPS_LOGIN_SAN_TYPE,
        &table::AMQPS_LOGIN_SAN_INDEX,
    ] {
        let entry = read.0.entry(setting);
        // A file that `weir config` printed says what is the default as well.
        let is_default = entry.text() == (setting.default)();
        if entry.origin != Origin::Default && entry.values != [OFF] && !is_default {
            let (name, needed) = (setting.name, table::TLS_CERTIFICATE_FILE.name);
            return Err(Usage(format!("{name} needs {needed}")));
        }
    }
    Ok(DoorTls::default())
}

fn node(read: &Read<'_>) -> NodeConfig {
    let mut node = NodeConfig {
        default_partition_count: read.number_u32(&table::DEFAULT_PARTITIONS),
        auto_create_topics: read.is_on(&table::AUTO_CREATE_TOPICS),
        cleanup_interval_ms: read.number(&table::CLEANUP_INTERVAL_MS),
        catch_up_bytes_per_s: read.number(&table::CATCH_UP_BYTES_PER_S),
        ..NodeConfig::default()
    };
    node.store.tail_budget_bytes = read.number(&table::TAIL_MEMORY_BYTES);
    node.store.transient_budget_bytes = read.number(&table::TRANSIENT_MEMORY_BYTES);
    node.wal.max_total_bytes = read.number(&table::WAL_MAX_BYTES);
    node.rack = Some(read.text(&table::RACK)).filter(|rack| !rack.is_empty());
    let delay_ms = read.number(&table::GROUP_INITIAL_REBALANCE_DELAY_MS);
    node.groups.initial_rebalance_delay_ms = delay_ms;
    node
}

/// Values that were checked when they were layered.
pub(super) struct Read<'a>(pub(super) &'a Effective);

impl Read<'_> {
    pub(super) fn texts(&self, setting: &Setting) -> Vec<String> {
        self.0.entry(setting).values.clone()
    }

    fn text(&self, setting: &Setting) -> String {
        self.0.entry(setting).text().unwrap_or_default()
    }

    pub(super) fn path(&self, setting: &Setting) -> Option<PathBuf> {
        self.0.entry(setting).text().map(PathBuf::from)
    }

    pub(super) fn optional(&self, setting: &Setting) -> Option<String> {
        self.0.entry(setting).text()
    }

    fn is_on(&self, setting: &Setting) -> bool {
        self.text(setting) == "true"
    }

    pub(super) fn number(&self, setting: &Setting) -> u64 {
        let text = self.text(setting);
        text.parse()
            .expect("numbers have a default and were checked")
    }

    fn number_u32(&self, setting: &Setting) -> u32 {
        let number = self.number(setting);
        u32::try_from(number).expect("the setting's maximum is that of a u32")
    }

    fn size(&self, setting: &Setting) -> usize {
        let number = self.number(setting);
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    fn host_ports(&self, setting: &Setting) -> Result<Vec<HostPort>, Usage> {
        let values = self.0.entry(setting).values.iter();
        values
            .map(|value| {
                let parsed = value.parse();
                parsed.map_err(|what| Usage(format!("{}: {what}", setting.name)))
            })
            .collect()
    }

    fn host_port(&self, setting: &Setting) -> Result<Option<HostPort>, Usage> {
        Ok(self.host_ports(setting)?.pop())
    }

    fn listen_at(&self, setting: &Setting) -> ListenAt {
        let addresses = self.texts(setting);
        match &self.0.entry(setting).origin {
            _ if addresses == [OFF] => ListenAt::Off,
            Origin::Default => ListenAt::Default(addresses),
            Origin::Flag | Origin::Environment | Origin::File { .. } => ListenAt::Set(addresses),
        }
    }

    fn one_address(&self, setting: &Setting) -> Result<String, Usage> {
        let mut values = self.texts(setting);
        match (values.pop(), values.is_empty()) {
            (Some(address), true) => Ok(address),
            (_, _) => Err(Usage(format!("{}: one address is needed", setting.name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SettingFlags;

    fn config(given: &[(&'static Setting, &str)]) -> Result<ServeConfig, Usage> {
        let given = given.iter();
        let flags = SettingFlags {
            file: None,
            given: given
                .map(|(setting, text)| (*setting, setting.split(text)))
                .collect(),
        };
        ServeConfig::new(&Effective::layered(&flags, &[]).unwrap())
    }

    #[test]
    fn the_defaults_make_a_node_whose_log_has_room() {
        let config = config(&[]).unwrap();
        assert_eq!(config.kafka, ["localhost:9092"]);
        for at in [&config.amqp, &config.admin] {
            assert!(matches!(at, ListenAt::Default(_)));
        }
        assert!(config.node.wal.check().is_ok());
    }

    #[test]
    fn the_smallest_log_is_one_that_the_log_takes() {
        let table::Kind::Number { min, .. } = table::WAL_MAX_BYTES.kind else {
            panic!("a number");
        };
        let config = config(&[(&table::WAL_MAX_BYTES, &min.to_string())]).unwrap();
        assert_eq!(config.node.wal.check(), Ok(()));
    }

    #[test]
    fn tls_for_clients_needs_a_certificate_and_what_goes_with_it() {
        let plain = config(&[]).unwrap().door_tls;
        assert!(plain.files.is_none() && plain.kafka == ListenAt::Off);
        let (certificate, key) = (&table::TLS_CERTIFICATE_FILE, &table::TLS_KEY_FILE);
        let (certificate, key) = ((certificate, "node.pem"), (key, "node.key"));
        let secure = config(&[certificate, key]).unwrap().door_tls;
        assert!(matches!(secure.kafka, ListenAt::Default(at) if at == ["localhost:9093"]));
        assert!(matches!(secure.amqp, ListenAt::Default(at) if at == ["localhost:5671"]));
        assert_eq!(secure.admin, ListenAt::Off);
        let authority = (&table::TLS_CLIENT_CA_FILE, "ca.pem");
        let asked = (&table::TLS_CLIENT_AUTH, "require");
        assert!(config(&[certificate, key, authority, asked]).is_ok());
        for refused in [
            &[certificate][..],
            &[key],
            &[certificate, key, authority],
            &[certificate, key, asked],
            &[asked],
            &[(&table::AMQPS, "localhost:1")],
            &[(&table::ADMIN_TLS, "localhost:1")],
        ] {
            assert!(config(refused).is_err(), "{refused:?}");
        }
        assert!(config(&[(&table::AMQPS, "off")]).is_ok());
        assert!(config(&[(&table::KAFKA_TLS, "localhost:9093")]).is_ok());
    }

    #[test]
    fn founding_and_joining_do_not_go_together() {
        let join = (&table::JOIN, "a:1");
        assert!(config(&[join]).is_ok());
        assert!(config(&[join, (&table::INIT, "true")]).is_err());
        assert!(config(&[join, (&table::SHARDS, "4")]).is_err());
        assert!(config(&[(&table::CLUSTER, "a:1,b:1")]).is_err());
        let off = config(&[(&table::ADMIN, "off")]).unwrap();
        assert_eq!(off.admin, ListenAt::Off);
    }
}
