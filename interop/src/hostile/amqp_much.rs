//! Rows of AMQP 0-9-1 that want more than a client may have: channels, patience.

use super::amqp::{
    CHANNEL, CHANNEL_MAX, CONNECTION, FRAME_MAX_BYTES, PROTOCOL_HEADER, SMALL_CROWD_COUNT, known,
    method, refused, start_ok, stranger,
};
use super::row::{Due, Row};
use super::wire::Wire;
use std::time::Duration;

const HEARTBEAT_S: u16 = 1;
/// Two heartbeats that do not come, and what RabbitMQ takes to see that.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(3);

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    vec![too_many_channels(), no_heartbeat()]
}

fn too_many_channels() -> Row {
    let open = |channel| method(channel, CHANNEL, 10, b"\0");
    let payload = (2..=CHANNEL_MAX + 1).flat_map(open).collect();
    let due = refused(&[504, 505, 530]);
    Row {
        crowd_count: SMALL_CROWD_COUNT,
        ..known("2,047 channels, then one more", payload, due)
    }
}

/// It agrees to a heartbeat a second, and sends none.
fn no_heartbeat() -> Row {
    let tune = Wire::new()
        .u16(CHANNEL_MAX)
        .u32(FRAME_MAX_BYTES)
        .u16(HEARTBEAT_S)
        .end();
    let open = Wire::new().short("/").short("").u8(0).end();
    let payload = [
        PROTOCOL_HEADER.to_vec(),
        start_ok("PLAIN", b"\0guest\0guest", b""),
        method(0, CONNECTION, 31, &tune),
        method(0, CONNECTION, 40, &open),
    ];
    Row {
        grace: HEARTBEAT_LIMIT,
        ..stranger("heartbeat of 1 s, then silence", payload.concat(), Due::End)
    }
}
