//! Calls to one peer that wait for their answers, and answers that wait to be sent.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::{sync::Notify, time::Instant};
use weir_broker::peer::{Answer, CallDone, CallFailed};

use crate::{
    frame::{FrameError, Kind, seal},
    limits::{
        CALL_TIMEOUT_MS, MAX_BATCH_BYTES, MAX_CALLS_COUNT, MAX_FRAME_BYTES, MAX_QUEUED_BYTES,
    },
};

/// Of a call's id.
const ID_BYTES: usize = 8;
/// Of an answer's id and status.
const ANSWER_HEADER_BYTES: usize = ID_BYTES + 1;
const ANSWERED: u8 = 0;
const OVERLOADED: u8 = 1;

/// Calls to one peer.
#[derive(Default)]
pub(crate) struct Calls {
    /// A mutex: locked for one call or answer at a time.
    state: Mutex<CallState>,
    ready: Notify,
}

#[derive(Default)]
struct CallState {
    next_id: u64,
    /// By id, which is by time.
    waiting: BTreeMap<u64, Waiting>,
    unsent: VecDeque<(u64, Bytes)>,
    unsent_bytes: usize,
    /// The last try to connect failed.
    is_unreachable: bool,
}

struct Waiting {
    done: CallDone,
    due: Instant,
}

impl Calls {
    pub(crate) const ID_BYTES: usize = ID_BYTES;

    /// Takes the body of an answer apart: which call, and what its caller hears.
    pub(crate) fn read_answer(
        mut body: Bytes,
    ) -> Result<(u64, Result<Bytes, CallFailed>), FrameError> {
        if body.len() < ANSWER_HEADER_BYTES {
            return Err(FrameError::Body("an answer's length".to_owned()));
        }
        let id = body.get_u64_le();
        match body.get_u8() {
            ANSWERED => Ok((id, Ok(body))),
            OVERLOADED => Ok((id, Err(CallFailed::Overloaded))),
            status => Err(FrameError::Body(format!("answer status {status}"))),
        }
    }

    /// Queues a call.
    pub(crate) fn push(&self, request: Bytes, done: CallDone) {
        let mut state = self.lock();
        let bytes = state.unsent_bytes + request.len();
        let refused = if state.is_unreachable {
            Some(CallFailed::Unreachable)
        } else if state.waiting.len() >= MAX_CALLS_COUNT
            || bytes > MAX_QUEUED_BYTES
            || request.len() > MAX_FRAME_BYTES - ID_BYTES
        {
            Some(CallFailed::Overloaded)
        } else {
            None
        };
        if let Some(refused) = refused {
            drop(state);
            return done(Err(refused));
        }
        let id = state.next_id;
        state.next_id += 1;
        let due = Instant::now() + Duration::from_millis(CALL_TIMEOUT_MS);
        state.waiting.insert(id, Waiting { done, due });
        state.unsent.push_back((id, request));
        state.unsent_bytes = bytes;
        drop(state);
        self.ready.notify_one();
    }

    /// Waits until there may be something to send.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Frames to be sent, up to [`MAX_BATCH_BYTES`] or one call.
    pub(crate) fn take(&self, cluster: u128) -> Vec<Bytes> {
        let mut state = self.lock();
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        while let Some((id, request)) = state.unsent.front() {
            if !chunks.is_empty() && bytes + request.len() > MAX_BATCH_BYTES {
                self.ready.notify_one();
                break;
            }
            bytes += request.len();
            // A call that is over is not worth its way.
            if state.waiting.contains_key(id) {
                let body = vec![Bytes::copy_from_slice(&id.to_le_bytes()), request.clone()];
                seal(Kind::Call, cluster, body, &mut chunks);
            }
            state.unsent.pop_front();
        }
        state.unsent_bytes -= bytes;
        chunks
    }

    /// Takes the body of an answer.
    pub(crate) fn answered(&self, body: Bytes) -> Result<(), FrameError> {
        let (id, answer) = Self::read_answer(body)?;
        let waiting = self.lock().waiting.remove(&id);
        if let Some(waiting) = waiting {
            (waiting.done)(answer);
        }
        Ok(())
    }

    /// Ends the calls that have waited too long.
    pub(crate) fn expire(&self, now: Instant) {
        loop {
            let mut state = self.lock();
            let first = state.waiting.first_entry();
            let Some(late) = first.filter(|entry| entry.get().due <= now) else {
                return;
            };
            let late = late.remove();
            drop(state);
            (late.done)(Err(CallFailed::TimedOut));
        }
    }

    /// The connection is lost, or there is none: nobody will answer.
    pub(crate) fn fail(&self, is_unreachable: bool) {
        let mut state = self.lock();
        state.is_unreachable = is_unreachable;
        state.unsent.clear();
        state.unsent_bytes = 0;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for (_, waiting) in waiting {
            (waiting.done)(Err(CallFailed::Unreachable));
        }
    }

    /// There is a connection.
    pub(crate) fn connected(&self) {
        self.lock().is_unreachable = false;
        self.ready.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, CallState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers of one incoming connection that wait to be sent.
#[derive(Default)]
pub(crate) struct Answers {
    /// A mutex: answers come from any thread, one at a time.
    state: Mutex<AnswerState>,
    ready: Notify,
}

#[derive(Default)]
struct AnswerState {
    open_count: usize,
    unsent: VecDeque<(u64, u8, Bytes)>,
    unsent_bytes: usize,
}

/// A call that is being answered; over when dropped.
struct OpenCall(Arc<Answers>);

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.lock().open_count -= 1;
    }
}

impl Answers {
    /// Takes the body of a call; `None` where there are too many: the caller is told.
    pub(crate) fn open(
        self: &Arc<Self>,
        mut body: Bytes,
    ) -> Result<Option<(Bytes, Answer)>, FrameError> {
        if body.len() < ID_BYTES {
            return Err(FrameError::Body("a call's length".to_owned()));
        }
        let id = body.get_u64_le();
        let mut state = self.lock();
        if state.open_count >= MAX_CALLS_COUNT {
            if state.unsent.len() >= 2 * MAX_CALLS_COUNT {
                return Err(FrameError::Body("calls beyond all limits".to_owned()));
            }
            state.unsent.push_back((id, OVERLOADED, Bytes::new()));
            drop(state);
            self.ready.notify_one();
            return Ok(None);
        }
        state.open_count += 1;
        drop(state);
        let open = OpenCall(Arc::clone(self));
        let answer = move |answer| open.0.push(id, answer);
        Ok(Some((body, Box::new(answer))))
    }

    fn push(&self, id: u64, answer: Bytes) {
        let mut state = self.lock();
        let bytes = state.unsent_bytes + answer.len();
        if bytes > MAX_QUEUED_BYTES || answer.len() > MAX_FRAME_BYTES - ANSWER_HEADER_BYTES {
            state.unsent.push_back((id, OVERLOADED, Bytes::new()));
        } else {
            state.unsent.push_back((id, ANSWERED, answer));
            state.unsent_bytes = bytes;
        }
        drop(state);
        self.ready.notify_one();
    }

    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Frames to be sent, up to [`MAX_BATCH_BYTES`] or one answer.
    pub(crate) fn take(&self, cluster: u128) -> Vec<Bytes> {
        let mut state = self.lock();
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        while let Some((_, _, answer)) = state.unsent.front() {
            if !chunks.is_empty() && bytes + answer.len() > MAX_BATCH_BYTES {
                self.ready.notify_one();
                break;
            }
            bytes += answer.len();
            let Some((id, status, answer)) = state.unsent.pop_front() else {
                break;
            };
            let mut header = BytesMut::with_capacity(ANSWER_HEADER_BYTES);
            header.put_u64_le(id);
            header.put_u8(status);
            seal(
                Kind::Answer,
                cluster,
                vec![header.freeze(), answer],
                &mut chunks,
            );
        }
        state.unsent_bytes -= bytes;
        chunks
    }

    fn lock(&self) -> MutexGuard<'_, AnswerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
