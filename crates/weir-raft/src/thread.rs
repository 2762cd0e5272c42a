//! A worker on a thread of its own.

use std::{io, sync::Arc, thread::JoinHandle, time::Duration};

use weir_log::Clock;

use crate::{Handle, Moment, PeerPort, StateMachine, Worker, worker::WorkerFailed};

/// Longest sleep of an idle worker, in ms: how late it can notice a clock that jumped.
const MAX_SLEEP_MS: u64 = 60_000;

/// Runs `worker` until it is told to stop, or fails; `failed` hears of that.
pub fn spawn<S: StateMachine>(
    name: String,
    mut worker: Worker<S>,
    handle: Handle<S>,
    clock: Arc<dyn Clock>,
    peers: Arc<dyn PeerPort>,
    failed: impl FnOnce(WorkerFailed) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(move || {
        loop {
            let turn = match worker.turn(Moment::of(&*clock)) {
                Ok(turn) if turn.stopped => return,
                Ok(turn) => turn,
                Err(error) => return failed(error),
            };
            if !turn.messages.is_empty() {
                peers.send(turn.messages);
            }
            let sleep_ms = turn.next_turn_in_ms.unwrap_or(MAX_SLEEP_MS);
            handle.wait(Duration::from_millis(sleep_ms.min(MAX_SLEEP_MS)));
        }
    })
}
