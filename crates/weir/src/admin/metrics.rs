//! All metrics there are, and the page that shows them. Names that Kafka's exporters made known
//! are kept, so that dashboards for Kafka show this broker too; what they have no name for begins
//! with `weir_`.

use std::time::Duration;

use weir_broker::{GroupLag, NodeFigures, Observer, TopicFigures, quota::QuotaFigures};
use weir_door::DoorFigures;
use weir_log::partition::TrafficFigures;
use weir_tls::server::TlsFigures;

use super::{
    page::Page,
    process::{self, ProcessFigures},
    watched::Watched,
};

/// Most topics shown apart; all others are shown together as topic `__others`.
const MAX_TOPICS_COUNT: usize = 200;
/// Name of those others: no topic of a client, whose names of this form are the broker's.
const OTHERS: &str = "__others";
/// Most partitions of consumer groups shown.
const MAX_LAGS_COUNT: usize = 2_000;

/// What a metric does over time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

/// A metric and what it shows of something.
type Of<T, V> = (&'static Metric, fn(&T) -> V);

macro_rules! metrics {
    ($($id:ident $kind:ident $name:literal $help:literal)*) => {
        $(const $id: Metric = Metric { name: $name, kind: Kind::$kind, help: $help };)*
        #[cfg(test)]
        const ALL: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    BUILD Gauge "weir_build_info" "Always 1; the version is a label."
    READY Gauge "weir_ready" "1 where clients are served, 0 while the node starts, waits for others, or stops."
    BYTES_IN Counter "kafka_server_brokertopicmetrics_bytesin_total" "Bytes of batches that this node stored for producers, by topic."
    MESSAGES_IN Counter "kafka_server_brokertopicmetrics_messagesin_total" "Messages that this node stored for producers, by topic."
    BYTES_OUT Counter "kafka_server_brokertopicmetrics_bytesout_total" "Bytes of batches that this node gave to consumers, by topic."
    TOPICS_LEFT_OUT Gauge "weir_topics_not_shown" "Topics with traffic that are shown together as topic __others."
    REQUEST_SECONDS Histogram "weir_request_duration_seconds" "How long the node took for requests, from when it was asked to its answer, by door and kind. A fetch that waits for data counts its wait."
    CONNECTIONS Gauge "weir_connections" "Open connections, by door."
    CONNECTIONS_TOTAL Counter "weir_connections_total" "Connections taken, by door."
    RECEIVED Counter "weir_received_bytes_total" "Bytes read from clients' sockets, by door."
    SENT Counter "weir_sent_bytes_total" "Bytes written to clients' sockets, by door."
    TLS_HANDSHAKES Counter "weir_tls_handshakes_total" "TLS handshakes of clients, by result."
    TLS_RELOADS Counter "weir_tls_reloads_total" "How often certificates for clients were read because they had changed, by result. One that failed left those before in use."
    TLS_CERTIFICATE_END Gauge "weir_tls_certificate_expiry_timestamp_seconds" "When a certificate that clients are shown expires, in seconds since 1970, by file."
    LAG Gauge "kafka_consumergroup_lag" "Messages behind what a group has committed, of the groups that this node coordinates, in partitions that it has a copy of."
    COMMITTED Gauge "kafka_consumergroup_current_offset" "Offset that a group has committed, of the groups that this node coordinates."
    LAG_INCOMPLETE Gauge "weir_consumergroup_incomplete" "1 where not all offsets of groups are shown: there are too many, or the answer took too long."
    BROKERS Gauge "kafka_brokers" "Nodes of the cluster."
    BROKERS_UP Gauge "weir_nodes_up" "Nodes of the cluster that answer this one, itself among them."
    CONTROLLER Gauge "kafka_controller_kafkacontroller_activecontrollercount" "1 where this node leads the metadata."
    TOPICS Gauge "kafka_controller_kafkacontroller_globaltopiccount" "Topics of the cluster."
    PARTITIONS Gauge "kafka_controller_kafkacontroller_globalpartitioncount" "Partitions of the cluster."
    OFFLINE Gauge "kafka_controller_kafkacontroller_offlinepartitionscount" "Partitions that nobody leads, as far as this node knows."
    LED_PARTITIONS Gauge "kafka_server_replicamanager_leadercount" "Partitions that this node leads."
    UNDER_REPLICATED Gauge "kafka_server_replicamanager_underreplicatedpartitions" "Partitions that this node leads and of which a copy does not keep up."
    GROUPS Gauge "weir_raft_groups" "Raft groups of the cluster, the metadata's among them."
    GROUPS_LED Gauge "weir_raft_groups_led" "Raft groups that this node leads."
    GROUPS_UNDER_REPLICATED Gauge "weir_raft_groups_under_replicated" "Raft groups that this node leads and of which a voter does not keep up."
    GROUPS_LEADERLESS Gauge "weir_raft_groups_leaderless" "Raft groups that nobody leads, as far as this node knows."
    LEADER_CHANGES Counter "weir_raft_leader_changes_total" "How often replicas on this node heard of a new leader."
    DISK_SLOW Gauge "weir_disk_slow" "1 where commits take so long that the node hands its leaderships over."
    DISK_FULL Gauge "weir_disk_full" "1 where the disk has no room, so that publishers wait at all nodes."
    AUDIT_LOST Counter "weir_audit_lost_total" "Records of the audit topic for which there was no room, or that could not be written."
    THROTTLED Counter "weir_quota_throttled_total" "How often a client had more than its quota, by quota."
    THROTTLED_SECONDS Counter "weir_quota_throttled_seconds_total" "For how long clients were held for that, in seconds, all together, by quota."
    COMMIT_SECONDS Histogram "weir_wal_commit_duration_seconds" "How long commits took, from the first byte written to the end of the fdatasync."
    WAL_COMMITS Counter "weir_wal_commits_total" "Commits: frames written to the write-ahead log."
    WAL_WRITTEN Counter "weir_wal_written_bytes_total" "Bytes written to the write-ahead log, padding included."
    WAL_SYNCS Counter "weir_wal_syncs_total" "Syncs of the write-ahead log."
    WAL_LIVE Gauge "weir_wal_live_bytes" "Length of the write-ahead log's files that are needed."
    TAIL Gauge "weir_tail_bytes" "Recent messages in memory, in bytes."
    UNFLUSHED Gauge "weir_unflushed_bytes" "Those of them that are in no segment yet, in bytes."
    IDLE_BUFFERS Gauge "weir_idle_buffer_bytes" "Memory that waits to be used for messages again, in bytes."
    TRANSIENT Gauge "weir_transient_bytes" "Messages of transient queues in memory, in bytes."
    TRANSIENT_UNFLUSHED Gauge "weir_transient_unflushed_bytes" "Those of them that are in memory alone, in bytes."
    CPU Counter "process_cpu_seconds_total" "User and system time, in seconds."
    RESIDENT Gauge "process_resident_memory_bytes" "Resident memory, in bytes."
    VIRTUAL Gauge "process_virtual_memory_bytes" "Virtual memory, in bytes."
    THREADS Gauge "process_threads" "Threads."
    START Gauge "process_start_time_seconds" "When the process began, in seconds since 1970."
    OPEN_FILES Gauge "process_open_fds" "Open file descriptors."
    MAX_FILES Gauge "process_max_fds" "Most file descriptors that may be open."
}

/// Everything, as it is now.
pub(super) async fn page(watched: &Watched) -> String {
    let mut page = Page::default();
    page.family(&BUILD);
    page.series(&BUILD, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.single(&READY, u8::from(watched.unready().is_none()));
    doors(&mut page, watched);
    if let Some(tls) = &watched.tls {
        clients_tls(&mut page, &tls.figures());
    }
    if let Some(observer) = watched.observer() {
        topics(&mut page, &observer.topics(MAX_TOPICS_COUNT));
        node(&mut page, &observer.figures());
        log(&mut page, observer);
        lags(&mut page, watched.lags(MAX_LAGS_COUNT).await.as_deref());
    }
    of_process(&mut page, &process::look());
    page.finish()
}

fn doors(page: &mut Page, watched: &Watched) {
    let doors = watched.doors.iter();
    let doors: Vec<_> = doors.map(|(name, door)| (*name, door.figures())).collect();
    page.family(&REQUEST_SECONDS);
    for (door, figures) in &doors {
        let used = figures.requests.iter().filter(|(_, it)| it.count() > 0);
        for (request, durations) in used {
            let labels = [("door", *door), ("request", request)];
            page.histogram(&REQUEST_SECONDS, &labels, durations);
        }
    }
    let counts: [Of<DoorFigures, u64>; 4] = [
        (&CONNECTIONS, |door| {
            door.opened_count.saturating_sub(door.ended_count)
        }),
        (&CONNECTIONS_TOTAL, |door| door.opened_count),
        (&RECEIVED, |door| door.received_bytes),
        (&SENT, |door| door.sent_bytes),
    ];
    for (metric, value) in counts {
        page.family(metric);
        for (door, figures) in &doors {
            page.series(metric, &[("door", door)], value(figures));
        }
    }
}

fn clients_tls(page: &mut Page, figures: &TlsFigures) {
    for (metric, succeeded, failed) in [
        (
            &TLS_HANDSHAKES,
            figures.handshake_count,
            figures.failed_handshake_count,
        ),
        (
            &TLS_RELOADS,
            figures.reload_count,
            figures.failed_reload_count,
        ),
    ] {
        page.family(metric);
        page.series(metric, &[("result", "success")], succeeded);
        page.series(metric, &[("result", "failure")], failed);
    }
    page.family(&TLS_CERTIFICATE_END);
    for certificate in &figures.ends {
        let labels = [("file", certificate.file.as_str())];
        page.series(&TLS_CERTIFICATE_END, &labels, certificate.ends_s);
    }
}

fn topics(page: &mut Page, figures: &TopicFigures) {
    let values: [Of<TrafficFigures, u64>; 3] = [
        (&BYTES_IN, |traffic| traffic.produced_bytes),
        (&MESSAGES_IN, |traffic| traffic.produced_records),
        (&BYTES_OUT, |traffic| traffic.fetched_bytes),
    ];
    for (metric, value) in values {
        page.family(metric);
        for (topic, traffic) in &figures.topics {
            page.series(metric, &[("topic", topic.as_str())], value(traffic));
        }
        if figures.others_count > 0 {
            page.series(metric, &[("topic", OTHERS)], value(&figures.others));
        }
    }
    page.single(&TOPICS_LEFT_OUT, figures.others_count);
}

fn node(page: &mut Page, figures: &NodeFigures) {
    for (metric, value) in [
        (&BROKERS, figures.node_count),
        (&BROKERS_UP, figures.up_node_count),
        (&CONTROLLER, u64::from(figures.is_controller)),
        (&TOPICS, figures.topic_count),
        (&PARTITIONS, figures.partition_count),
        (&OFFLINE, figures.offline_partition_count),
        (&LED_PARTITIONS, figures.led_partition_count),
        (&UNDER_REPLICATED, figures.under_replicated_partition_count),
        (&GROUPS, figures.group_count),
        (&GROUPS_LED, figures.led_group_count),
        (
            &GROUPS_UNDER_REPLICATED,
            figures.under_replicated_group_count,
        ),
        (&GROUPS_LEADERLESS, figures.leaderless_group_count),
        (&LEADER_CHANGES, figures.leader_change_count),
        (&DISK_SLOW, u64::from(figures.is_slow)),
        (&DISK_FULL, u64::from(figures.is_full)),
        (&AUDIT_LOST, figures.audit_lost_count),
        (&TAIL, figures.tail_bytes),
        (&UNFLUSHED, figures.unflushed_bytes),
        (&IDLE_BUFFERS, figures.idle_buffer_bytes),
        (&TRANSIENT, figures.transient_bytes),
        (&TRANSIENT_UNFLUSHED, figures.transient_unflushed_bytes),
    ] {
        page.single(metric, value);
    }
    quotas(page, &figures.quotas);
}

fn quotas(page: &mut Page, figures: &[QuotaFigures]) {
    page.family(&THROTTLED);
    for quota in figures {
        page.series(&THROTTLED, &[("quota", quota.key.name())], quota.count);
    }
    page.family(&THROTTLED_SECONDS);
    for quota in figures {
        let seconds = Duration::from_millis(quota.total_ms).as_secs_f64();
        page.series(&THROTTLED_SECONDS, &[("quota", quota.key.name())], seconds);
    }
}

fn log(page: &mut Page, observer: &Observer) {
    page.family(&COMMIT_SECONDS);
    page.histogram(&COMMIT_SECONDS, &[], &observer.commits());
    let figures = observer.wal();
    for (metric, value) in [
        (&WAL_COMMITS, figures.frame_count),
        (&WAL_WRITTEN, figures.written_bytes),
        (&WAL_SYNCS, figures.sync_count),
        (&WAL_LIVE, figures.live_bytes),
    ] {
        page.single(metric, value);
    }
}

fn lags(page: &mut Page, lags: Option<&[GroupLag]>) {
    let is_whole = lags.is_some_and(|lags| lags.len() < MAX_LAGS_COUNT);
    page.single(&LAG_INCOMPLETE, u8::from(!is_whole));
    let values: [Of<GroupLag, Option<u64>>; 2] = [
        (&LAG, |lag| Some(lag.end?.0.saturating_sub(lag.committed.0))),
        (&COMMITTED, |lag| Some(lag.committed.0)),
    ];
    for (metric, value) in values {
        page.family(metric);
        for lag in lags.unwrap_or_default() {
            let index = lag.index.to_string();
            let labels = [
                ("consumergroup", lag.group.as_str()),
                ("topic", lag.topic.as_str()),
                ("partition", &index),
            ];
            if let Some(value) = value(lag) {
                page.series(metric, &labels, value);
            }
        }
    }
}

fn of_process(page: &mut Page, figures: &ProcessFigures) {
    for (metric, value) in [(&CPU, figures.cpu_seconds), (&START, figures.start_seconds)] {
        if let Some(value) = value {
            page.single(metric, value);
        }
    }
    for (metric, value) in [
        (&RESIDENT, figures.resident_bytes),
        (&VIRTUAL, figures.virtual_bytes),
        (&THREADS, figures.thread_count),
        (&OPEN_FILES, figures.open_files_count),
        (&MAX_FILES, figures.max_files_count),
    ] {
        if let Some(value) = value {
            page.single(metric, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    /// Name, kind and help of every metric, as the documentation has it.
    fn documented() -> String {
        let mut text = String::from(
            "# Metrics\n\nAt `/metrics` of the admin port. Durations are in seconds, sizes in bytes. \
             This page is made from\nthe program: `WEIR_WRITE_DOCS=1 cargo test -p weir metrics` \
             writes it.\n\n| Name | Kind | Shows |\n|---|---|---|\n",
        );
        for Metric { name, kind, help } in ALL {
            let kind = format!("{kind:?}").to_lowercase();
            text.push_str(&format!("| `{name}` | {kind} | {help} |\n"));
        }
        text
    }

    #[test]
    fn the_documentation_has_every_metric() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
        if std::env::var_os("WEIR_WRITE_DOCS").is_some() {
            std::fs::write(&path, documented()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), documented());
    }

    #[test]
    fn names_are_unique_and_say_what_prometheus_expects_of_them() {
        let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let is_total = metric.name.ends_with("_total");
            assert_eq!(
                is_total,
                matches!(metric.kind, Kind::Counter),
                "{}",
                metric.name
            );
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
