//! Few and small ones of all that was recorded: what a fuzzer needs to find its way.

use anyhow::Result;
use std::collections::BTreeMap;
use std::path::Path;

/// Largest request, and largest stream, that becomes a seed.
const MAX_SEED_BYTES: usize = 2 << 10;
/// Streams of each target, at most.
const MAX_STREAMS: usize = 40;
/// Before what clients sent: how the target's node answers.
const CHOICES: [u8; 8] = [7; 8];
const AMQP_HEADER_BYTES: usize = 8;
const METHOD: u8 = 1;
const START_OK: [u8; 4] = [0, 10, 0, 11];
const CHANNEL_OPEN: [u8; 4] = [0, 20, 0, 10];

/// A seed, by the target that it is for and its name.
type Seeds = BTreeMap<(&'static str, String), Vec<u8>>;

/// Writes seeds below `directory`, in place of those before; gives how many.
pub(super) fn write(directory: &Path, kafka: &[Vec<u8>], amqp: &[Vec<u8>]) -> Result<usize> {
    let mut seeds = Seeds::new();
    of_kafka(kafka, &mut seeds);
    of_amqp(amqp, &mut seeds);
    for ((target, name), bytes) in &seeds {
        let directory = directory.join(target);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(name), bytes)?;
    }
    Ok(seeds.len())
}

/// The smallest request of each kind and version, and streams of requests that differ in kind.
fn of_kafka(streams: &[Vec<u8>], seeds: &mut Seeds) {
    let mut kinds = BTreeMap::<Vec<String>, Vec<u8>>::new();
    for stream in streams {
        let (mut names, mut session) = (Vec::new(), CHOICES.to_vec());
        for request in kafka_requests(stream) {
            let (Some(api), Some(version)) = (number(request, 0), number(request, 2)) else {
                break;
            };
            let name = format!("api-{api}-v{version}");
            let known = seeds.get(&("kafka_request", name.clone()));
            let is_smaller = known.is_none_or(|known| request.len() < known.len());
            if is_smaller && request.len() <= MAX_SEED_BYTES {
                seeds.insert(("kafka_request", name.clone()), request.to_vec());
            }
            // The target takes lengths of nine bits.
            let is_new = !names.contains(&name);
            if is_new && request.len() < 512 && session.len() < MAX_SEED_BYTES {
                let length = u16::try_from(request.len()).expect("below 512");
                session.extend(length.to_be_bytes());
                session.extend_from_slice(request);
                names.push(name);
            }
        }
        kinds.entry(names).or_insert(session);
    }
    let all = (0..MAX_STREAMS).zip(kinds.into_values());
    seeds.extend(all.map(|(at, bytes)| (("kafka_session", format!("stream-{at:02}")), bytes)));
}

fn kafka_requests(mut stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = stream.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (request, rest) = rest.split_at_checked(length)?;
        stream = rest;
        Some(request)
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes(field.try_into().ok()?))
}

/// Streams whose methods differ, from their begin and from their first channel on.
fn of_amqp(streams: &[Vec<u8>], seeds: &mut Seeds) {
    let mut kinds = BTreeMap::<Vec<[u8; 4]>, (Vec<u8>, Vec<u8>)>::new();
    let mut logins = BTreeMap::<usize, Vec<u8>>::new();
    for stream in streams {
        let (mut methods, mut whole) = (Vec::new(), Vec::new());
        let mut session = CHOICES.to_vec();
        let mut is_open = false;
        whole.extend_from_slice(&stream[..stream.len().min(AMQP_HEADER_BYTES)]);
        for frame in amqp_frames(stream) {
            if whole.len() + frame.len() > MAX_SEED_BYTES {
                break;
            }
            whole.extend_from_slice(frame);
            if is_open {
                session.extend_from_slice(frame);
            }
            let method = frame.get(7..11).and_then(|it| it.try_into().ok());
            let Some(method) = method.filter(|_| frame[0] == METHOD) else {
                continue;
            };
            is_open |= method == CHANNEL_OPEN;
            if method == START_OK {
                let arguments = frame[11..frame.len() - 1].to_vec();
                logins.entry(arguments.len()).or_insert(arguments);
            }
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        kinds.entry(methods).or_insert((whole, session));
    }
    for (at, (whole, session)) in (0..MAX_STREAMS).zip(kinds.into_values()) {
        let name = format!("stream-{at:02}");
        seeds.insert(("amqp_frames", name.clone()), whole);
        seeds.insert(("amqp_session", name), session);
    }
    let logins = (0..MAX_STREAMS).zip(logins.into_values());
    seeds.extend(logins.map(|(at, bytes)| (("amqp_login", format!("login-{at:02}")), bytes)));
}

fn amqp_frames(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut left = stream.get(AMQP_HEADER_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = left.get(3..7)?.try_into().ok()?;
        let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
        let (frame, rest) = left.split_at_checked(8 + length)?;
        left = rest;
        Some(frame)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_request_of_each_kind_is_kept() {
        let request = |api: u8, more: usize| {
            let body = [&[0, api, 0, 3][..], &vec![0; more]].concat();
            let length = u32::try_from(body.len()).unwrap().to_be_bytes();
            [&length[..], &body].concat()
        };
        let stream = [request(3, 30), request(3, 20), request(18, 0)].concat();
        let mut seeds = Seeds::new();
        of_kafka(&[stream], &mut seeds);
        let of = |name: &str| {
            seeds
                .get(&("kafka_request", name.to_owned()))
                .unwrap()
                .len()
        };
        assert_eq!((of("api-3-v3"), of("api-18-v3")), (24, 4));
        assert_eq!(
            seeds[&("kafka_session", "stream-00".to_owned())].len(),
            8 + 2 + 34 + 2 + 4
        );
    }

    #[test]
    fn a_sessions_seed_begins_behind_its_first_channel() {
        let method = |class: u8, id: u8| {
            let frame = [METHOD, 0, 1, 0, 0, 0, 5, 0, class, 0, id, 0, 0xce];
            frame.to_vec()
        };
        let stream = [
            b"AMQP\0\0\x09\x01".to_vec(),
            method(10, 11),
            method(20, 10),
            method(60, 40),
        ];
        let mut seeds = Seeds::new();
        of_amqp(&[stream.concat()], &mut seeds);
        let session = &seeds[&("amqp_session", "stream-00".to_owned())];
        assert_eq!(session[..], [&CHOICES[..], &method(60, 40)].concat());
        assert_eq!(seeds[&("amqp_login", "login-00".to_owned())], [0]);
    }
}
