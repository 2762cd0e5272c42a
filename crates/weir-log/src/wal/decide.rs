//! What to do with each file at start: a pure function of what was found.

/// How a file's row of frames ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// With a seal.
    Sealed,
    /// With the file.
    Full,
    /// At a block that never was a frame of this use of the file.
    Open,
    /// At a frame with a wrong checksum, and no frame's start behind it.
    Torn,
    /// Frames stop, yet a frame of this use of the file starts further on.
    FrameBehind,
}

/// Why a file's header does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// Checksum, magic or a value is wrong.
    Damaged,
    /// Another version of the program wrote it.
    UnknownVersion,
    /// It names another file.
    OtherSeq,
    /// The file is shorter than its header says.
    ShortFile,
}

/// What was found in a file that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    /// Whether the opening frame, which is synced before the file gets its name, is there.
    pub(super) has_opening: bool,
    pub(super) tail: Tail,
}

/// What was found of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileFacts {
    /// The newest file declares it as no longer needed.
    Obsolete,
    /// It is needed.
    Live {
        /// Whether it has the highest number.
        is_last: bool,
        /// What is in it.
        content: Result<Content, HeaderFault>,
    },
}

/// What to do with one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It was let go of before: remove it.
    Remove,
    /// Take its records.
    Replay,
    /// Take its records and go on behind them.
    ReplayAndAppend,
    /// Take its records and overwrite what was never acknowledged.
    ReplayAndCut,
    /// Take its records and go on in a new file.
    ReplayAndRoll,
    /// Do not start.
    Refuse(Refusal),
}

/// Why a file stops the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Its header does not count.
    Header(HeaderFault),
    /// It has no opening frame.
    NoOpening,
    /// A later file exists, so all of it was acknowledged, and its end is missing.
    NoEnd,
    /// A frame is damaged that was acknowledged before the one behind it was written.
    DamagedFrame,
}

/// Decides. Rests on this order of the writer: a frame is written once the frame before it is
/// synced; a file gets its name once its header and opening frame are synced and the file before
/// it is full, or sealed and synced.
pub(super) fn decide(facts: FileFacts) -> Decision {
    let (is_last, content) = match facts {
        FileFacts::Obsolete => return Decision::Remove,
        FileFacts::Live { is_last, content } => (is_last, content),
    };
    let content = match content {
        Ok(content) => content,
        Err(fault) => return Decision::Refuse(Refusal::Header(fault)),
    };
    match (content.tail, content.has_opening, is_last) {
        (Tail::FrameBehind, _, _) => Decision::Refuse(Refusal::DamagedFrame),
        (_, false, _) => Decision::Refuse(Refusal::NoOpening),
        (Tail::Sealed | Tail::Full, true, false) => Decision::Replay,
        (Tail::Sealed | Tail::Full, true, true) => Decision::ReplayAndRoll,
        (Tail::Open | Tail::Torn, true, false) => Decision::Refuse(Refusal::NoEnd),
        (Tail::Open, true, true) => Decision::ReplayAndAppend,
        (Tail::Torn, true, true) => Decision::ReplayAndCut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision as D;
    use Refusal as R;

    const TAILS: [Tail; 5] = [
        Tail::Sealed,
        Tail::Full,
        Tail::Open,
        Tail::Torn,
        Tail::FrameBehind,
    ];

    fn decided(is_last: bool, has_opening: bool, tail: Tail) -> Decision {
        let content = Ok(Content { has_opening, tail });
        decide(FileFacts::Live { is_last, content })
    }

    #[test]
    fn every_file_with_an_opening_has_its_row_in_the_table() {
        let table = [
            // tail, in the middle, last
            (Tail::Sealed, D::Replay, D::ReplayAndRoll),
            (Tail::Full, D::Replay, D::ReplayAndRoll),
            (Tail::Open, D::Refuse(R::NoEnd), D::ReplayAndAppend),
            (Tail::Torn, D::Refuse(R::NoEnd), D::ReplayAndCut),
            (
                Tail::FrameBehind,
                D::Refuse(R::DamagedFrame),
                D::Refuse(R::DamagedFrame),
            ),
        ];
        assert_eq!(table.map(|row| row.0), TAILS);
        for (tail, in_the_middle, last) in table {
            assert_eq!(decided(false, true, tail), in_the_middle, "{tail:?}");
            assert_eq!(decided(true, true, tail), last, "{tail:?}");
        }
    }

    #[test]
    fn a_file_without_an_opening_is_refused_wherever_it_stands() {
        for (is_last, tail) in [false, true]
            .into_iter()
            .flat_map(|l| TAILS.map(|t| (l, t)))
        {
            assert!(matches!(decided(is_last, false, tail), D::Refuse(_)));
        }
    }

    #[test]
    fn a_live_file_whose_header_does_not_count_is_refused() {
        for fault in [
            HeaderFault::Damaged,
            HeaderFault::UnknownVersion,
            HeaderFault::OtherSeq,
            HeaderFault::ShortFile,
        ] {
            for is_last in [false, true] {
                let content = Err(fault);
                let facts = FileFacts::Live { is_last, content };
                assert_eq!(decide(facts), D::Refuse(R::Header(fault)));
            }
        }
    }

    #[test]
    fn an_obsolete_file_is_removed_whatever_is_in_it() {
        assert_eq!(decide(FileFacts::Obsolete), D::Remove);
    }
}
