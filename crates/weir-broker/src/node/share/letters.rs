//! Dead letters of share groups (KIP-1191) on their way to the topics for them. A letter says where its record
//! lies and why it is dead, in Kafka's headers, and has the record's key and value where the group wants that.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::{
    ErrorKind, GroupId, PartitionId, TopicName, batch_builder::BatchBuilder, record::Records,
};

use crate::{
    Node,
    api::admin::ConfigResource,
    configs::group::dead_letter_topic,
    metadata::TopicRecord,
    share::{DeadRecord, ShareKey},
};

/// The topic's setting that lets groups write their dead letters to it.
const TAKES_LETTERS: &str = "errors.deadletterqueue.group.enable";
/// Most bytes of letters that are sent at once; one may be larger.
const MAX_LETTERS_BYTES: usize = 1 << 20;
/// What a letter takes besides names, key and value, in bytes, at most.
const LETTER_BYTES: usize = 512;

/// What becomes of a group's dead letters.
pub(crate) enum LetterWay {
    To(LetterTo),
    /// Nobody wants them.
    Away,
    /// Not now: their topic is not there, or takes none.
    Later,
}

/// Where letters go, and what they tell.
pub(crate) struct LetterTo {
    group: GroupId,
    partition: PartitionId,
    topic: TopicName,
    index: u32,
    share_group: String,
    max_bytes: usize,
    /// Letters have keys and values.
    pub(crate) copies: bool,
}

/// A dead record; with its bytes, where they are there and wanted.
pub(crate) struct ShareLetter {
    pub(crate) dead: DeadRecord,
    pub(crate) record: Option<Bytes>,
}

impl Node {
    /// Where letters of a share partition go that this node leads.
    pub(crate) fn letter_way(&self, (id, share_group): &ShareKey) -> LetterWay {
        let topology = self.topology.load();
        let Some(source) = topology.by_serial(id.topic_serial()) else {
            // With a topic that is deleted all goes that groups have of it.
            return LetterWay::Later;
        };
        let configs = topology.configs_of(&ConfigResource::Group(share_group.clone()));
        let Some(name) = dead_letter_topic(&configs) else {
            return LetterWay::Away;
        };
        let topic = TopicName::new(name).ok();
        let topic = topic.and_then(|name| topology.by_name(&name));
        let Some(topic) = topic.filter(|topic| takes_letters(topic)) else {
            tracing::warn!(
                share_group,
                topic = name,
                "dead letters wait: there is no such topic, or its {TAKES_LETTERS} is not true"
            );
            return LetterWay::Later;
        };
        if topic.serial == source.serial {
            tracing::warn!(
                share_group,
                topic = name,
                "dead letters of their own topic are put away"
            );
            return LetterWay::Away;
        }
        let index = id.index();
        let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        let place = index
            .checked_rem(count)
            .and_then(|at| i32::try_from(at).ok());
        let Some((partition, group)) = place.and_then(|at| topic.partition(at)) else {
            return LetterWay::Later;
        };
        LetterWay::To(LetterTo {
            group,
            partition,
            topic: source.name.clone(),
            index,
            share_group: share_group.clone(),
            max_bytes: usize::try_from(topic.settings.max_message_bytes).unwrap_or(usize::MAX),
            copies: topology.group_settings(share_group).share.copies_dead,
        })
    }

    /// The first of the letters, as many as fit into a batch, and how many.
    pub(crate) fn letter_batch(&self, to: &LetterTo, letters: &[ShareLetter]) -> (Bytes, usize) {
        let max_bytes = MAX_LETTERS_BYTES.min(to.max_bytes);
        let mut builder = BatchBuilder::new(0);
        let mut count = 0;
        for letter in letters {
            let record = letter.record.as_ref();
            let record = record.and_then(|record| Records::new(record, 1).next()?.ok());
            let (key, value) = record.map_or((None, None), |record| (record.key, record.value));
            let own_bytes = LETTER_BYTES + to.topic.as_str().len() + to.share_group.len();
            let bytes = own_bytes + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
            if count > 0 && builder.size_bytes() + bytes > max_bytes {
                break;
            }
            // What is too large for that topic is told of alone.
            let fits = bytes <= to.max_bytes;
            let (key, value) = (key.filter(|_| fits), value.filter(|_| fits));
            self.push_letter(&mut builder, to, letter.dead, (key, value));
            count += 1;
        }
        (builder.finish(None), count)
    }

    /// Sends a batch of letters. `done` hears whether they are on stable storage.
    pub(crate) fn post_share_letters(
        self: &Arc<Self>,
        to: &LetterTo,
        batch: Bytes,
        done: impl FnOnce(Result<(), ErrorKind>) + Send + 'static,
    ) {
        self.append_records((to.group, to.partition), batch, done);
    }

    fn push_letter(
        &self,
        builder: &mut BatchBuilder,
        to: &LetterTo,
        dead: DeadRecord,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
    ) {
        let (index, offset) = (to.index.to_string(), dead.offset.to_string());
        let count = dead.delivery_count.to_string();
        let headers = [
            ("__dlq.errors.topic", to.topic.as_str()),
            ("__dlq.errors.partition", &index),
            ("__dlq.errors.offset", &offset),
            ("__dlq.errors.group", &to.share_group),
            ("__dlq.errors.delivery.count", &count),
            ("__dlq.errors.message", dead.reason.message()),
        ];
        let headers = headers.map(|(name, text)| (name.as_bytes(), Some(text.as_bytes())));
        builder.push_with_headers(key, value, &headers, self.clock.now().0);
    }
}

fn takes_letters(topic: &TopicRecord) -> bool {
    let set = topic.configs.get(TAKES_LETTERS);
    set.is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
}
