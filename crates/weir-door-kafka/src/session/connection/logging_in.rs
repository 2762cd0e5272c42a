//! Logins of a connection, whose answers stand among the others.

use super::KafkaSession;
use crate::{
    codec::header::Incoming,
    mapping::plan::{Answer, MapError},
    session::login::Reply,
};

impl KafkaSession {
    pub(super) fn login(&mut self, incoming: Incoming, frame_bytes: usize) {
        self.allowed.clear();
        let reply = self.login.request(self.client.now, incoming);
        self.logged_in(reply, frame_bytes);
    }

    pub(super) fn logged_in(&mut self, reply: Result<Reply, MapError>, frame_bytes: usize) {
        self.client.principal = self.login.principal().clone();
        self.throttle.forget();
        match reply {
            Ok(reply) => self.reply(reply, frame_bytes),
            Err(error) => self.refuse(error.into()),
        }
    }

    pub(super) fn reply(&mut self, reply: Reply, frame_bytes: usize) {
        if let Some(frame) = reply.frame {
            self.queue
                .push_answer(Answer::Frame(vec![frame]), frame_bytes);
        }
        if let Some(error) = reply.end {
            self.refuse(error.into());
        }
    }
}
