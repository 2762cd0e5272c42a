//! Requests of one connection in the order they came in, which is the order of their answers.

use std::collections::VecDeque;

use bytes::Bytes;
use weir_broker::Ticket;
use weir_door::queue_room::give_back;

use crate::{
    codec::header::Head,
    mapping::plan::{Answer, Plan},
};

/// What a place in the queue waits for.
#[derive(Debug)]
enum State<E> {
    Waiting(Head, Box<Plan>),
    Answered(Answer),
    Failed(E),
}

#[derive(Debug)]
struct Place<E> {
    state: State<E>,
    held_bytes: usize,
    answer_bytes: usize,
}

/// The queue. `E` is why the connection ends when its turn comes.
#[derive(Debug)]
pub struct Queue<E> {
    places: VecDeque<Place<E>>,
    /// The ticket of the front place.
    first: u64,
    held_bytes: usize,
    answer_bytes: usize,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            places: VecDeque::new(),
            first: 0,
            held_bytes: 0,
            answer_bytes: 0,
        }
    }
}

impl<E> Queue<E> {
    /// Places taken.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// Memory that the places stand for.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Bytes of answers whose turn it is not yet.
    pub fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }

    /// Takes the next place for a request that waits for the node.
    pub fn wait(&mut self, head: Head, plan: Plan, held_bytes: usize) -> Ticket {
        let ticket = self.first + u64::try_from(self.places.len()).expect("usize fits in u64");
        self.push(State::Waiting(head, Box::new(plan)), held_bytes);
        Ticket(ticket)
    }

    /// Takes the next place for what has its answer.
    pub fn push_answer(&mut self, answer: Answer, held_bytes: usize) {
        self.push(State::Answered(answer), held_bytes);
    }

    /// Takes the next place for the end.
    pub fn push_failure(&mut self, error: E) {
        self.push(State::Failed(error), 0);
    }

    fn push(&mut self, state: State<E>, held_bytes: usize) {
        let answer_bytes = bytes_of(&state);
        self.held_bytes += held_bytes;
        self.answer_bytes += answer_bytes;
        self.places.push_back(Place {
            state,
            held_bytes,
            answer_bytes,
        });
    }

    /// Answers a waiting place through `with`. Nothing happens for any other ticket.
    pub fn complete(&mut self, ticket: Ticket, with: impl FnOnce(Head, Plan) -> Result<Answer, E>) {
        let at = ticket.0.checked_sub(self.first);
        let place = at
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| self.places.get_mut(at));
        let Some(place) = place else { return };
        if !matches!(place.state, State::Waiting(..)) {
            return;
        }
        let state = std::mem::replace(&mut place.state, State::Answered(Answer::Silent));
        if let State::Waiting(head, plan) = state {
            place.state = match with(head, *plan) {
                Ok(answer) => State::Answered(answer),
                Err(error) => State::Failed(error),
            };
            place.answer_bytes = bytes_of(&place.state);
            self.answer_bytes += place.answer_bytes;
        }
    }

    /// The request that a ticket's place waits for.
    pub fn head(&self, ticket: Ticket) -> Option<&Head> {
        let at = usize::try_from(ticket.0.checked_sub(self.first)?).ok()?;
        match &self.places.get(at)?.state {
            State::Waiting(head, _) => Some(head),
            State::Answered(_) | State::Failed(_) => None,
        }
    }

    /// The front place's answer, or why the connection ends; `None`: it still waits.
    pub fn pop(&mut self) -> Option<Result<Answer, E>> {
        if matches!(self.places.front()?.state, State::Waiting(..)) {
            return None;
        }
        let place = self.places.pop_front()?;
        give_back(&mut self.places);
        self.first += 1;
        assert!(
            place.held_bytes <= self.held_bytes,
            "the queue holds its places"
        );
        self.held_bytes -= place.held_bytes;
        self.answer_bytes -= place.answer_bytes;
        match place.state {
            State::Waiting(..) => None,
            State::Answered(answer) => Some(Ok(answer)),
            State::Failed(error) => Some(Err(error)),
        }
    }
}

fn bytes_of<E>(state: &State<E>) -> usize {
    match state {
        State::Answered(Answer::Frame(chunks)) => chunks.iter().map(Bytes::len).sum(),
        State::Answered(Answer::Silent | Answer::Elsewhere | Answer::Close { .. })
        | State::Waiting(..)
        | State::Failed(_) => 0,
    }
}
