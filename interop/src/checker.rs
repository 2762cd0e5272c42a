//! What was acknowledged against what is there.

use std::collections::BTreeMap;

/// How many findings are spelled out.
const MAX_EXAMPLES: usize = 10;

/// An acknowledgement as a client recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Number of the message.
    pub seq: u64,
    /// Where the broker said it lies; `None` when the client does not tell.
    pub place: Option<(i32, i64)>,
}

/// A message as a consumer got it, in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Number of the message; `None` when its bytes are none that were sent.
    pub seq: Option<u64>,
}

/// What was found; all counts but the first three must be 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Messages acknowledged.
    pub acked: usize,
    /// Messages there.
    pub seen: usize,
    /// Messages handed out again at the same offset: a consumer's right, not a duplicate.
    pub redelivered: usize,
    /// Acknowledged and not there.
    pub missing: usize,
    /// There at more than one offset.
    pub duplicated: usize,
    /// There behind a message that was sent later.
    pub reordered: usize,
    /// There, but never sent.
    pub invented: usize,
    /// There at another place than the acknowledgement said, or two values at one place.
    pub moved: usize,
    /// The first findings in words.
    pub examples: Vec<String>,
}

impl Verdict {
    /// Nothing was found.
    pub(crate) fn is_clean(&self) -> bool {
        let findings = [
            self.missing,
            self.duplicated,
            self.reordered,
            self.invented,
            self.moved,
        ];
        findings == [0; 5]
    }

    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(text());
        }
    }
}

/// Compares what one idempotent producer had acknowledged with what a full read found.
pub(crate) fn check(acked: &[Ack], seen: &[Seen]) -> Verdict {
    let mut verdict = Verdict {
        acked: acked.len(),
        seen: seen.len(),
        ..Verdict::default()
    };
    let log = by_place(seen, &mut verdict);
    let places = in_order(&log, &mut verdict);
    for ack in acked {
        match (places.get(&ack.seq), ack.place) {
            (None, place) => {
                verdict.missing += 1;
                verdict.example(|| {
                    format!("message {} acknowledged at {place:?} is missing", ack.seq)
                });
            }
            (Some(found), Some(told)) if *found != told => {
                verdict.moved += 1;
                verdict
                    .example(|| format!("message {} told at {told:?}, lies at {found:?}", ack.seq));
            }
            (Some(_), _) => {}
        }
    }
    verdict
}

type Log = BTreeMap<(i32, i64), Option<u64>>;

fn by_place(seen: &[Seen], verdict: &mut Verdict) -> Log {
    let mut log = Log::new();
    for message in seen {
        let place = (message.partition, message.offset);
        match log.insert(place, message.seq) {
            None => {}
            Some(before) if before == message.seq => verdict.redelivered += 1,
            Some(before) => {
                verdict.moved += 1;
                verdict.example(|| format!("{place:?} held {before:?}, then {:?}", message.seq));
            }
        }
    }
    log
}

/// Walks each partition by offset; gives the first place of each message.
fn in_order(log: &Log, verdict: &mut Verdict) -> BTreeMap<u64, (i32, i64)> {
    let mut places = BTreeMap::new();
    let mut last: Option<(i32, u64)> = None;
    for (place, seq) in log {
        let Some(seq) = *seq else {
            verdict.invented += 1;
            verdict.example(|| format!("{place:?} holds what nobody sent"));
            continue;
        };
        if let Some(first) = places.get(&seq) {
            verdict.duplicated += 1;
            verdict.example(|| format!("message {seq} lies at {first:?} and at {place:?}"));
            continue;
        }
        places.insert(seq, *place);
        if let Some((partition, before)) = last
            && partition == place.0
            && before > seq
        {
            verdict.reordered += 1;
            verdict.example(|| format!("message {seq} at {place:?} lies behind {before}"));
        }
        last = Some((place.0, seq));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acks(seqs: &[u64]) -> Vec<Ack> {
        seqs.iter().map(|&seq| Ack { seq, place: None }).collect()
    }

    fn seen(seqs: &[u64]) -> Vec<Seen> {
        (0..)
            .zip(seqs)
            .map(|(offset, &seq)| Seen {
                partition: 0,
                offset,
                seq: Some(seq),
            })
            .collect()
    }

    #[test]
    fn all_there_in_order_once_is_clean() {
        let verdict = check(&acks(&[1, 2]), &seen(&[1, 2, 3]));
        assert!(verdict.is_clean(), "{verdict:?}");
    }

    #[test]
    fn a_lost_message_is_missing() {
        assert_eq!(check(&acks(&[1, 2, 3]), &seen(&[1, 3])).missing, 1);
    }

    #[test]
    fn a_message_at_two_offsets_is_duplicated_and_not_reordered() {
        let verdict = check(&acks(&[1, 2]), &seen(&[1, 2, 1]));
        assert_eq!((verdict.duplicated, verdict.reordered), (1, 0));
    }

    #[test]
    fn a_message_behind_a_later_one_is_reordered() {
        assert_eq!(check(&acks(&[1, 2]), &seen(&[2, 1])).reordered, 1);
    }

    #[test]
    fn partitions_have_orders_of_their_own() {
        let mut messages = seen(&[5, 6]);
        messages.push(Seen {
            partition: 1,
            offset: 0,
            seq: Some(1),
        });
        assert!(check(&acks(&[1, 5, 6]), &messages).is_clean());
    }

    #[test]
    fn the_same_offset_twice_is_a_redelivery_only_with_the_same_value() {
        let mut messages = seen(&[1, 2]);
        messages.push(messages[1]);
        let verdict = check(&acks(&[1, 2]), &messages);
        assert!(verdict.is_clean());
        assert_eq!(verdict.redelivered, 1);
        messages.push(Seen {
            partition: 0,
            offset: 0,
            seq: Some(9),
        });
        assert_eq!(check(&acks(&[2]), &messages).moved, 1);
    }

    #[test]
    fn bytes_that_nobody_sent_are_invented() {
        let mut messages = seen(&[1]);
        messages.push(Seen {
            partition: 0,
            offset: 1,
            seq: None,
        });
        assert_eq!(check(&acks(&[1]), &messages).invented, 1);
    }

    #[test]
    fn a_message_elsewhere_than_told_is_moved() {
        let told = [Ack {
            seq: 2,
            place: Some((0, 7)),
        }];
        assert_eq!(check(&told, &seen(&[1, 2])).moved, 1);
    }
}
