use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
    task::JoinHandle,
};

use super::*;
use crate::{
    Budget,
    linger::linger,
    toy::{Asked, Held, MAX_TOY_COUNT, Toy, answer, frame},
};

struct Wired {
    client: DuplexStream,
    asked: Asked,
    stop: watch::Sender<bool>,
    ended: JoinHandle<Ended>,
}

fn wire(budget: &Budget, pipe_bytes: usize) -> Wired {
    let (client, server) = duplex(pipe_bytes);
    let (backend, asked) = Held::pair();
    let (stop, stopped) = watch::channel(false);
    let claim = budget.claim();
    let ended = tokio::spawn(async move {
        let mut driver = Driver::new(Toy::default(), backend, claim, Limits::default());
        let (mut reader, mut writer) = tokio::io::split(server);
        let ended = driver.run(&mut reader, &mut writer, stopped).await;
        if driver.may_linger(&ended) {
            linger(&mut reader).await;
        }
        ended
    });
    Wired {
        client,
        asked,
        stop,
        ended,
    }
}

fn plain() -> Wired {
    wire(&Budget::new(1 << 30), 1 << 16)
}

async fn read_frame(client: &mut DuplexStream) -> String {
    let length = client.read_u32().await.unwrap();
    let mut text = vec![0; usize::try_from(length).unwrap()];
    client.read_exact(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn requests_reach_the_node_and_answers_the_client() {
    let mut wired = plain();
    for text in ["one", "", "three"] {
        wired.client.write_all(&frame(text)).await.unwrap();
        let (asked, reply) = wired.asked.recv().await.unwrap();
        assert_eq!(asked, text);
        answer(reply, "an answer");
        assert_eq!(read_frame(&mut wired.client).await, "an answer");
    }
    drop(wired.client);
    assert!(matches!(wired.ended.await.unwrap(), Ended::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_waits_holds_no_buffer() {
    for text in ["one", &"o".repeat(100 << 10)] {
        waits_without_a_buffer_after(text).await;
    }
}

async fn waits_without_a_buffer_after(text: &str) {
    let (mut client, server) = duplex(1 << 16);
    let (backend, mut asked) = Held::pair();
    let (_stop, stopped) = watch::channel(false);
    let claim = Budget::new(1 << 30).claim();
    let mut driver = Driver::new(Toy::default(), backend, claim, Limits::default());
    let (mut reader, mut writer) = tokio::io::split(server);
    let served = async {
        client.write_all(&frame(text)).await.unwrap();
        let (_, reply) = asked.recv().await.unwrap();
        answer(reply, "an answer");
        read_frame(&mut client).await
    };
    tokio::select! {
        _ = driver.run(&mut reader, &mut writer, stopped) => panic!("it goes on"),
        () = async { served.await; tokio::time::sleep(Duration::from_secs(1)).await } => {}
    }
    assert_eq!(driver.buffered.capacity(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_passes_both_ways() {
    let mut wired = plain();
    let text = "x".repeat(20 << 20);
    let (mut reader, mut writer) = tokio::io::split(wired.client);
    let sent = frame(&text);
    let writing = tokio::spawn(async move {
        writer.write_all(&sent).await.unwrap();
        writer
    });
    let (asked, reply) = wired.asked.recv().await.unwrap();
    assert_eq!(asked.len(), text.len());
    answer(reply, &text);
    assert_eq!(reader.read_u32().await.unwrap(), 20 << 20);
    let mut back = vec![0; 20 << 20];
    reader.read_exact(&mut back).await.unwrap();
    assert!(back == text.as_bytes());
    drop(writing.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_announced_length_alone_allocates_little() {
    let (backend, _asked) = Held::pair();
    let claim = Budget::new(1 << 30).claim();
    let mut driver = Driver::new(Toy::default(), backend, claim, Limits::default());
    driver
        .buffered
        .extend_from_slice(&u32::to_be_bytes(200 << 20));
    driver.turn();
    assert_eq!(driver.missing_bytes, 200 << 20);
    let room = driver.room();
    room.make(&mut driver.buffered);
    assert!(driver.buffered.capacity() <= 2 * MIN_READ_BYTES);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_wants_no_more_is_not_read_for() {
    let mut wired = wire(&Budget::new(1 << 30), 64);
    let text = "y".repeat(60);
    let all: Vec<u8> = (0..1000).flat_map(|_| frame(&text)).collect();
    let (mut reader, mut writer) = tokio::io::split(wired.client);
    let writing = tokio::spawn(async move {
        writer.write_all(&all).await.unwrap();
        writer
    });
    let mut held = Vec::new();
    for _ in 0..MAX_TOY_COUNT {
        held.push(wired.asked.recv().await.unwrap().1);
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(
        wired.asked.try_recv().is_err(),
        "one past the limit was asked"
    );
    assert!(!writing.is_finished(), "what nobody wants was read");
    let draining = tokio::spawn(async move {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        all.len()
    });
    held.into_iter().for_each(|reply| answer(reply, "a"));
    for _ in MAX_TOY_COUNT..1000 {
        answer(wired.asked.recv().await.unwrap().1, "a");
    }
    drop(writing.await.unwrap());
    wired.stop.send(true).unwrap();
    wired.ended.await.unwrap();
    assert_eq!(draining.await.unwrap(), 1000 * 5);
}

#[tokio::test(start_paused = true)]
async fn the_nodes_budget_holds_a_connection_back_until_another_is_answered() {
    let budget = Budget::new(1000);
    let (mut first, mut second) = (wire(&budget, 1 << 16), wire(&budget, 1 << 16));
    let text = "z".repeat(600);
    first.client.write_all(&frame(&text)).await.unwrap();
    let (_, reply) = first.asked.recv().await.unwrap();
    second.client.write_all(&frame(&text)).await.unwrap();
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(second.asked.try_recv().is_err(), "the budget was overdrawn");
    answer(reply, "done");
    assert!(second.asked.recv().await.is_some());
    drop((first.client, second.client));
    first.ended.await.unwrap();
    second.ended.await.unwrap();
    assert_eq!(budget.free_bytes(), 1000);
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_answers_but_not_for_ever() {
    let mut wired = plain();
    wired.client.write_all(&frame("last")).await.unwrap();
    let (_, reply) = wired.asked.recv().await.unwrap();
    wired.stop.send(true).unwrap();
    tokio::time::sleep(Limits::default().drain / 2).await;
    answer(reply, "words");
    assert_eq!(read_frame(&mut wired.client).await, "words");
    assert!(matches!(wired.ended.await.unwrap(), Ended::Shutdown(true)));

    let mut wired = plain();
    wired.client.write_all(&frame("last")).await.unwrap();
    let held = wired.asked.recv().await.unwrap();
    wired.stop.send(true).unwrap();
    assert!(matches!(wired.ended.await.unwrap(), Ended::Shutdown(false)));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection() {
    let wired = plain();
    assert!(matches!(wired.ended.await.unwrap(), Ended::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_is_not_silence() {
    let mut wired = plain();
    wired.client.write_all(&frame("long")).await.unwrap();
    let (_, reply) = wired.asked.recv().await.unwrap();
    tokio::time::sleep(Limits::default().idle * 3).await;
    answer(reply, "poll");
    assert_eq!(read_frame(&mut wired.client).await, "poll");
}

#[tokio::test(start_paused = true)]
async fn half_a_frame_ends_a_connection() {
    let mut wired = plain();
    wired.client.write_all(&frame("half")[..6]).await.unwrap();
    assert!(matches!(wired.ended.await.unwrap(), Ended::FrameStalled));
}

#[tokio::test(start_paused = true)]
async fn half_a_frame_behind_back_pressure_does_not_stall() {
    let mut wired = plain();
    let half = &frame("half")[..6];
    wired.client.write_all(half).await.unwrap();
    tokio::time::sleep(Limits::default().frame_stall / 2).await;
    let mut rest = frame("half")[6..].to_vec();
    for _ in 1..MAX_TOY_COUNT {
        rest.extend(frame("more"));
    }
    rest.extend_from_slice(half);
    wired.client.write_all(&rest).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..MAX_TOY_COUNT {
        held.push(wired.asked.recv().await.unwrap().1);
    }
    tokio::time::sleep(Limits::default().frame_stall * 3).await;
    held.into_iter().for_each(|reply| answer(reply, "a"));
    tokio::time::sleep(Limits::default().frame_stall / 2).await;
    wired.client.write_all(&frame("half")[6..]).await.unwrap();
    assert_eq!(wired.asked.recv().await.unwrap().0, "half");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_left() {
    let mut wired = wire(&Budget::new(1 << 30), 64);
    wired.client.write_all(&frame("much")).await.unwrap();
    answer(wired.asked.recv().await.unwrap().1, &"w".repeat(1000));
    assert!(matches!(wired.ended.await.unwrap(), Ended::WriteStalled));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_sends_what_it_has() {
    let mut wired = plain();
    wired.client.write_all(&frame("one")).await.unwrap();
    answer(wired.asked.recv().await.unwrap().1, "yes");
    wired.client.write_all(&frame("bye")).await.unwrap();
    assert_eq!(read_frame(&mut wired.client).await, "yes");
    assert_eq!(wired.client.read(&mut [0]).await.unwrap(), 0);
    assert!(matches!(wired.ended.await.unwrap(), Ended::Closed));
}

#[tokio::test(start_paused = true)]
async fn who_says_goodbye_closes_first() {
    let mut wired = plain();
    wired.client.write_all(&frame("bye")).await.unwrap();
    let mut end = [0];
    let early = timeout(MAX_LINGER / 2, wired.client.read(&mut end)).await;
    assert!(early.is_err(), "the node closed first");
    wired.client.shutdown().await.unwrap();
    assert_eq!(wired.client.read(&mut end).await.unwrap(), 0);
    assert!(matches!(wired.ended.await.unwrap(), Ended::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_writes_on_after_the_end_gets_its_answer_and_is_not_waited_for_for_ever() {
    let mut wired = wire(&Budget::new(1 << 30), 64);
    wired.client.write_all(&frame("one")).await.unwrap();
    answer(wired.asked.recv().await.unwrap().1, "yes");
    wired.client.write_all(&frame("bye")).await.unwrap();
    for _ in 0..100 {
        wired.client.write_all(&frame("late")).await.unwrap();
    }
    assert_eq!(read_frame(&mut wired.client).await, "yes");
    assert_eq!(wired.client.read(&mut [0]).await.unwrap(), 0);
    assert!(matches!(wired.ended.await.unwrap(), Ended::Closed));
    assert!(wired.asked.try_recv().is_err(), "asked after the end");
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sent_before_it_left_is_asked() {
    let mut wired = plain();
    for _ in 0..10 {
        wired.client.write_all(&frame("parting")).await.unwrap();
    }
    wired.client.shutdown().await.unwrap();
    for _ in 0..10 {
        answer(wired.asked.recv().await.unwrap().1, "yes");
    }
    for _ in 0..10 {
        assert_eq!(read_frame(&mut wired.client).await, "yes");
    }
    assert!(matches!(wired.ended.await.unwrap(), Ended::Closed));
}

#[tokio::test]
async fn work_is_done_beside_the_connection_and_its_failure_is_an_end_too() {
    let mut wired = plain();
    for text in ["work", "panic", "work"] {
        wired.client.write_all(&frame(text)).await.unwrap();
        assert_eq!(read_frame(&mut wired.client).await, "worked");
    }
}
