//! Who was given which records, and what they said of them, held against the rules of share groups.

use std::collections::BTreeMap;

use weir_model::GroupId;

use super::{letters::Letter, plan::ShareGroupPlan, state::MemberId};
use crate::{
    campaign::cluster::{books::Place, walls::Times},
    oracle::{Broken, broken},
    verdict::oracle_name,
};

/// A record as a group sees it: the group, its partition, its offset.
pub(super) type Key = (usize, Place, u64);

/// What a member says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Accept,
    Release,
    Reject,
    /// Its lock begins again.
    Renew,
}

impl How {
    /// As it stands in a request.
    pub(super) fn kind(self) -> i8 {
        match self {
            Self::Accept => 1,
            Self::Release => 2,
            Self::Reject => 3,
            Self::Renew => 4,
        }
    }

    /// Whether nobody is to get the record any more.
    pub(super) fn is_final(self) -> bool {
        match self {
            Self::Accept | Self::Reject => true,
            Self::Release | Self::Renew => false,
        }
    }
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The member has it until its lock is over.
    Held,
    /// It may have been taken back, as if it had never been delivered: a session of the member ended,
    /// or may have.
    Loose,
    /// No answer yet, or none that will ever come.
    Asked(How),
    Done(How),
}

impl Fate {
    /// Whether this may be so.
    pub(super) fn may_be(self, how: How) -> bool {
        matches!(self, Self::Asked(asked) | Self::Done(asked) if asked == how)
    }

    fn is_final(self) -> bool {
        matches!(self, Self::Done(how) if how.is_final())
    }
}

/// Somebody was given a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    pub(super) member: MemberId,
    /// As it was told.
    pub(super) count: u32,
    /// It was taken at some time between these.
    pub(super) asked_ms: u64,
    pub(super) heard_ms: u64,
    /// When its lock began at the earliest.
    pub(super) locked_ms: u64,
    pub(super) fate: Fate,
    /// When its fate was asked for, and answered.
    pub(super) settle_ms: u64,
    pub(super) settled_ms: u64,
}

impl Delivery {
    pub(super) fn new(member: MemberId, count: u32, (asked_ms, heard_ms): (u64, u64)) -> Self {
        Self {
            member,
            count,
            asked_ms,
            heard_ms,
            locked_ms: asked_ms,
            fate: Fate::Held,
            settle_ms: 0,
            settled_ms: 0,
        }
    }
}

/// What is known of clocks, and who carries a partition, where that is known.
pub(super) type Clocks<'a> = (Times<'a>, Option<GroupId>);

/// All deliveries, and what dead letters there are.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// In the order in which they were heard of.
    pub(super) stories: BTreeMap<Key, Vec<Delivery>>,
    /// Answers that nobody heard: each may have counted as a delivery.
    unheard: BTreeMap<(usize, Place), u32>,
    pub(super) letters: BTreeMap<Key, Vec<Letter>>,
}

impl Books {
    pub(super) fn story(&self, key: Key) -> &[Delivery] {
        self.stories.get(&key).map_or(&[], Vec::as_slice)
    }

    pub(super) fn delivery_mut(&mut self, key: Key, at: usize) -> Option<&mut Delivery> {
        self.stories.get_mut(&key)?.get_mut(at)
    }

    /// Records of that partition may have been taken, and nobody knows which.
    pub(super) fn note_unheard(&mut self, group: usize, place: Place) {
        *self.unheard.entry((group, place)).or_default() += 1;
    }

    pub(super) fn unheard_count(&self, group: usize, place: Place) -> u32 {
        self.unheard.get(&(group, place)).copied().unwrap_or(0)
    }

    /// Writes a delivery down; gives its place in the record's story. `open_count`: requests that
    /// have no answer yet and may have got the record.
    pub(super) fn deliver(
        &mut self,
        key: Key,
        plan: &ShareGroupPlan,
        delivery: Delivery,
        open_count: u32,
        clocks: &Clocks<'_>,
    ) -> Result<usize, Broken> {
        let most = self.unheard_count(key.0, key.1) + open_count;
        let story = self.stories.entry(key).or_default();
        for earlier in story.iter() {
            check_earlier(key, plan, earlier, &delivery, clocks)?;
        }
        check_count(key, plan, story, &delivery, most)?;
        story.push(delivery);
        Ok(story.len() - 1)
    }
}

/// Nobody is given what somebody else has, what is done with, or what is to wait.
fn check_earlier(
    key: Key,
    plan: &ShareGroupPlan,
    earlier: &Delivery,
    new: &Delivery,
    clocks: &Clocks<'_>,
) -> Result<(), Broken> {
    let detail = || format!("{key:?}: {new:?} after {earlier:?}");
    let is_later = new.asked_ms >= earlier.heard_ms;
    match earlier.fate {
        Fate::Held => {
            // Which came first is not known where both were under way: where a session of the new
            // one's member may have ended, it may have lost the record before the other got it.
            let is_first = !is_later && new.fate == Fate::Loose;
            let since_ms = earlier.locked_ms.min(new.asked_ms);
            if is_first || clocks.0.may_be_over(clocks.1, since_ms, plan.lock_ms) {
                return Ok(());
            }
            Err(broken(oracle_name::HELD_ONCE, detail()))
        }
        // Counts of a record's deliveries never fall: a higher one was taken later.
        Fate::Done(how) if how.is_final() => {
            let is_behind = new.asked_ms >= earlier.settled_ms || new.count > earlier.count;
            match is_behind {
                true => Err(broken(oracle_name::SETTLED, detail())),
                false => Ok(()),
            }
        }
        Fate::Done(How::Release) if new.asked_ms >= earlier.settled_ms => {
            let wait_ms = wait_ms(plan, earlier.count);
            match wait_ms == 0 || clocks.0.may_be_over(clocks.1, earlier.settle_ms, wait_ms) {
                true => Ok(()),
                false => Err(broken(oracle_name::EARLY, detail())),
            }
        }
        Fate::Loose | Fate::Asked(_) | Fate::Done(_) => Ok(()),
    }
}

/// How long a record waits that was given back after so many deliveries.
fn wait_ms(plan: &ShareGroupPlan, count: u32) -> u64 {
    let doublings = count.saturating_sub(1);
    let wait_ms = plan
        .retry_ms
        .saturating_mul(2_u64.saturating_pow(doublings));
    wait_ms.min(plan.retry_max_ms.max(plan.retry_ms))
}

/// The delivery count never falls, goes up with what was given back or kept until its lock was
/// over, is no higher than there were deliveries, and never beyond the limit.
fn check_count(
    key: Key,
    plan: &ShareGroupPlan,
    story: &[Delivery],
    new: &Delivery,
    unheard_count: u32,
) -> Result<(), Broken> {
    let before = story.iter().filter(|it| it.heard_ms <= new.asked_ms);
    let least = before.map(|it| match it.fate {
        Fate::Held | Fate::Done(How::Release) => it.count + 1,
        Fate::Loose | Fate::Asked(_) | Fate::Done(_) => it.count,
    });
    let least = least.max().unwrap_or(1);
    let heard_count = u32::try_from(story.len()).unwrap_or(u32::MAX);
    let most = heard_count.saturating_add(1).saturating_add(unheard_count);
    let most = most.min(plan.delivery_limit);
    if (least..=most).contains(&new.count) {
        return Ok(());
    }
    let detail = format!("{key:?}: {new:?}, should be {least} to {most}: {story:?}");
    Err(broken(oracle_name::TRIES, detail))
}

impl Books {
    /// Something is asked about a delivery. Renewals change nothing until they are answered.
    pub(super) fn settle_asked(&mut self, key: Key, at: usize, how: How, now_ms: u64) {
        if let Some(delivery) = self.delivery_mut(key, at)
            && how != How::Renew
        {
            delivery.fate = Fate::Asked(how);
            delivery.settle_ms = now_ms;
        }
    }

    /// It was answered: from now on it is so.
    pub(super) fn settle_done(
        &mut self,
        key: Key,
        at: usize,
        how: How,
        (asked_ms, now_ms): (u64, u64),
    ) -> Result<(), Broken> {
        let Some(story) = self.stories.get_mut(&key) else {
            return Ok(());
        };
        let Some(member) = story.get(at).map(|it| it.member) else {
            return Ok(());
        };
        match how {
            How::Renew => {
                story[at].locked_ms = asked_ms;
                return Ok(());
            }
            How::Release => {}
            How::Accept | How::Reject => check_settled(key, story, member, story[at].count)?,
        }
        story[at].fate = Fate::Done(how);
        story[at].settled_ms = now_ms;
        Ok(())
    }

    /// It was refused for certain, or the member's session is over.
    pub(super) fn loosen(&mut self, key: Key, at: usize, was_refused: bool) {
        if let Some(delivery) = self.delivery_mut(key, at)
            && (was_refused || delivery.fate == Fate::Held)
        {
            delivery.fate = Fate::Loose;
        }
    }
}

/// Only who has a record can be done with it, and only once.
fn check_settled(key: Key, story: &[Delivery], member: MemberId, count: u32) -> Result<(), Broken> {
    // The member may have the record again by the time that its request arrives.
    let own = story.iter().filter(|it| it.member == member);
    let count = own.map(|it| it.count).max().unwrap_or(count);
    let is_wrong = |it: &&Delivery| it.fate.is_final() || it.count > count;
    if let Some(other) = story.iter().find(is_wrong) {
        let detail = format!("{key:?}: {member:?} is done with it, and so is {other:?}: {story:?}");
        return Err(broken(oracle_name::SETTLED, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::cluster::walls::Walls;

    const KEY: Key = (0, (0, 0), 7);

    fn plan() -> ShareGroupPlan {
        ShareGroupPlan {
            lock_ms: 100,
            delivery_limit: 3,
            ..ShareGroupPlan::default()
        }
    }

    fn deliver(books: &mut Books, member: usize, count: u32, at_ms: u64) -> Result<usize, Broken> {
        let times = Times {
            walls: &Walls::default(),
            now_ms: at_ms,
            started_ms: 0,
        };
        let clocks = (times, Some(GroupId(1)));
        let delivery = Delivery::new((member, 0), count, (at_ms, at_ms));
        books.deliver(KEY, &plan(), delivery, 0, &clocks)
    }

    fn rule(result: Result<usize, Broken>) -> &'static str {
        result.unwrap_err().oracle
    }

    #[test]
    fn two_members_have_a_record_only_once_a_lock_is_over() {
        let mut books = Books::default();
        deliver(&mut books, 1, 1, 10).unwrap();
        // Of the leader's clock, which may be fast by a twentieth.
        assert_eq!(rule(deliver(&mut books, 2, 2, 105)), oracle_name::HELD_ONCE);
        assert!(deliver(&mut books, 2, 2, 106).is_ok());
    }

    #[test]
    fn a_record_whose_member_may_have_lost_its_session_comes_to_another() {
        let mut books = Books::default();
        let at = deliver(&mut books, 1, 1, 10).unwrap();
        books.loosen(KEY, at, false);
        assert!(deliver(&mut books, 2, 1, 20).is_ok());
    }

    #[test]
    fn what_is_accepted_comes_no_more_and_what_is_asked_for_may() {
        for (is_answered, is_fine) in [(true, false), (false, true)] {
            let mut books = Books::default();
            let at = deliver(&mut books, 1, 1, 10).unwrap();
            books.settle_asked(KEY, at, How::Accept, 20);
            if is_answered {
                books.settle_done(KEY, at, How::Accept, (20, 30)).unwrap();
            }
            assert_eq!(deliver(&mut books, 2, 2, 500).is_ok(), is_fine);
        }
    }

    #[test]
    fn a_count_follows_what_was_given_back_up_to_the_limit() {
        let mut books = Books::default();
        let at = deliver(&mut books, 1, 1, 10).unwrap();
        books.settle_asked(KEY, at, How::Release, 20);
        books.settle_done(KEY, at, How::Release, (20, 30)).unwrap();
        assert_eq!(rule(deliver(&mut books, 2, 1, 40)), oracle_name::TRIES);
        assert_eq!(rule(deliver(&mut books, 2, 3, 40)), oracle_name::TRIES);
        assert!(deliver(&mut books, 2, 2, 40).is_ok());
        books.note_unheard(0, (0, 0));
        assert_eq!(rule(deliver(&mut books, 2, 4, 400)), oracle_name::TRIES);
    }

    #[test]
    fn nobody_is_done_with_what_another_has_got_since() {
        let mut books = Books::default();
        let first = deliver(&mut books, 1, 1, 10).unwrap();
        books.settle_asked(KEY, first, How::Accept, 20);
        deliver(&mut books, 2, 2, 200).unwrap();
        let settled = books.settle_done(KEY, first, How::Accept, (20, 210));
        assert_eq!(settled.unwrap_err().oracle, oracle_name::SETTLED);
    }
}
