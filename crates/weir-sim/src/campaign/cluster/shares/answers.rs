//! What members hear.

use weir_broker::api::{
    Outcome,
    share::{ShareAnswer, ShareRefused, SharedPartition},
};

use super::state::{Phase, Records, ShareAsked};
use crate::{
    campaign::cluster::{answers::wrong_answer, books::Place, run::Cluster},
    oracle::{Broken, broken},
    verdict::oracle_name,
};

impl Cluster<'_> {
    pub(in super::super) fn hear_share(
        &mut self,
        client: usize,
        machine: usize,
        share: ShareAsked,
        outcome: Outcome,
    ) -> Result<(), Broken> {
        match (share, outcome) {
            (ShareAsked::CreateLetters { group }, outcome) => {
                self.letters_topic_made(group, &outcome)
            }
            (ShareAsked::Configure { group }, outcome) => {
                self.group_configured(group, machine, &outcome)
            }
            (
                ShareAsked::Beat {
                    member,
                    sent_ms,
                    leaves,
                },
                outcome,
            ) => self.beat_answered(member, (sent_ms, leaves), outcome),
            (ShareAsked::Records(records), Outcome::Share(Ok(answer))) => {
                self.records_answered(&records, answer)
            }
            (ShareAsked::Records(records), Outcome::Share(Err(refused))) => {
                self.records_refused(&records, refused)
            }
            (ShareAsked::Left { group }, Outcome::ShareAdmin(answer)) => {
                self.left_answered(client, group, &answer)
            }
            (ShareAsked::Letters { place, from }, Outcome::Fetch(fetched)) => {
                let fetched = fetched.first();
                let fetched = fetched.ok_or_else(|| wrong_answer("dead letters"))?;
                self.letters_answered(client, place, from, fetched)
            }
            (share, outcome) => Err(wrong_answer(&format!("{share:?}: {outcome:?}"))),
        }
    }

    /// No answer comes.
    pub(in super::super) fn share_unsure(&mut self, client: usize, share: &ShareAsked) {
        match share {
            ShareAsked::CreateLetters { group } | ShareAsked::Configure { group } => {
                self.shares.set_up[*group].is_asking = false;
            }
            ShareAsked::Beat { member, .. } => self.beat_unsure(*member),
            ShareAsked::Records(records) => self.records_unsure(records),
            ShareAsked::Left { .. } => self.forget_coordinators(client),
            ShareAsked::Letters { place, .. } => self.clients[client].forget_route(*place),
        }
    }

    fn records_answered(&mut self, records: &Records, answer: ShareAnswer) -> Result<(), Broken> {
        let member = records.member;
        let it = &mut self.shares.members[member];
        let plan = self.plan.shares.groups[it.group];
        if u64::from(answer.lock_ms) != plan.lock_ms {
            let detail = format!("locks of {} ms, should be {}", answer.lock_ms, plan.lock_ms);
            return Err(broken(oracle_name::INVENTED, detail));
        }
        if let Some(session) = it.sessions.get_mut(&records.machine) {
            session.is_waiting = false;
            if answer.hold.is_some() {
                session.hold = answer.hold;
            }
        }
        let mut told = Vec::new();
        let mut count = 0;
        for shared in &answer.partitions {
            let place = self.place_shared(shared)?;
            told.push(place);
            self.acks_answered(records, place, shared.acknowledged)?;
            count += self.shared(records, place, shared)?;
        }
        if let Some(place) = records.acks.keys().find(|place| !told.contains(place)) {
            return Err(wrong_answer(&format!("acknowledgements of {place:?}")));
        }
        if let Some(most) = records.max_count.filter(|most| count > *most) {
            let detail = format!("{count} records, where {most} were asked for: {records:?}");
            return Err(broken(oracle_name::INVENTED, detail));
        }
        if records.phase == Phase::Ends {
            self.lose_session(member, records.machine);
        }
        Ok(())
    }

    fn place_shared(&self, shared: &SharedPartition) -> Result<Place, Broken> {
        let topic = self.shares.topics.get(&shared.topic).copied();
        let index = u32::try_from(shared.index).ok();
        let place = topic.zip(index);
        place.ok_or_else(|| wrong_answer(&format!("{:?} {}", shared.topic, shared.index)))
    }

    fn shared(
        &mut self,
        records: &Records,
        place: Place,
        shared: &SharedPartition,
    ) -> Result<u64, Broken> {
        match &shared.batches {
            Ok(batches) => self.acquired(records, place, (batches, &shared.acquired)),
            Err(error) => {
                // Who lost its leadership on the way cannot tell whether records were taken.
                let it = &self.shares.members[records.member];
                self.shares.books.note_unheard(it.group, place);
                self.clients[it.client].forget_route(place);
                self.check_error(*error, false, "records for a member")?;
                Ok(0)
            }
        }
    }

    /// Nothing of the request came to pass.
    fn records_refused(&mut self, records: &Records, refused: ShareRefused) -> Result<(), Broken> {
        let it = &mut self.shares.members[records.member];
        let group = it.group;
        let process = (records.machine, records.life);
        let is_expected = match refused {
            // A request that was given up came in between.
            ShareRefused::NoSession | ShareRefused::Epoch => it.losses.contains(&process),
            ShareRefused::Unauthorized
            | ShareRefused::TooManySessions
            | ShareRefused::Invalid(_) => false,
        };
        if !is_expected {
            let detail = format!("{refused:?}: {records:?}");
            return Err(broken(oracle_name::NO_FAULT_NO_ERROR, detail));
        }
        self.counts.add("share_sessions_refused", 1);
        for (place, acks) in &records.acks {
            for ack in acks {
                let key = (group, *place, ack.offset);
                self.shares.books.loosen(key, ack.delivery, true);
            }
        }
        self.lose_session(records.member, records.machine);
        Ok(())
    }
}
