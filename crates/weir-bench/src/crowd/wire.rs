//! As much of Kafka's protocol as a crowd needs: three requests in versions without compact
//! lengths.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const TOPIC: &str = "crowd";
/// Most bytes that a reader asks for at once (a consumer's `fetch.max.bytes`).
const FETCH_BYTES: i32 = 50 << 20;

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
}

fn text(body: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).expect("a name is short");
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(text.as_bytes());
}

impl Wire {
    /// Connects.
    pub(crate) fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self { stream })
    }

    fn send(&mut self, key: i16, version: i16, body: &[u8]) -> Result<()> {
        let mut frame = vec![0; 4];
        frame.extend_from_slice(&key.to_be_bytes());
        frame.extend_from_slice(&version.to_be_bytes());
        frame.extend_from_slice(&[0, 0, 0, 1]);
        text(&mut frame, "crowd");
        frame.extend_from_slice(body);
        let size = i32::try_from(frame.len() - 4)?;
        frame[..4].copy_from_slice(&size.to_be_bytes());
        Ok(self.stream.write_all(&frame)?)
    }

    /// The next answer without its size and its number.
    fn answer(&mut self) -> Result<Vec<u8>> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).context("no answer")?;
        let mut body = vec![0; usize::try_from(i32::from_be_bytes(size))?];
        self.stream.read_exact(&mut body)?;
        Ok(body.split_off(4))
    }

    /// Asks for the versions: the least that shows a connection to be served.
    pub(crate) fn greet(&mut self) -> Result<()> {
        self.send(18, 0, &[])?;
        self.answer().map(drop)
    }

    /// Makes the topic, of one partition.
    pub(crate) fn make_topic(&mut self) -> Result<()> {
        let mut body = 1_i32.to_be_bytes().to_vec();
        text(&mut body, TOPIC);
        body.push(1);
        self.send(3, 4, &body)?;
        self.answer().map(drop)
    }

    /// Appends a batch and waits until it is stored.
    pub(crate) fn produce(&mut self, batch: &[u8]) -> Result<()> {
        let mut body = (-1_i16).to_be_bytes().to_vec();
        body.extend_from_slice(&(-1_i16).to_be_bytes());
        body.extend_from_slice(&30_000_i32.to_be_bytes());
        body.extend_from_slice(&1_i32.to_be_bytes());
        text(&mut body, TOPIC);
        body.extend_from_slice(&1_i32.to_be_bytes());
        body.extend_from_slice(&0_i32.to_be_bytes());
        body.extend_from_slice(&i32::try_from(batch.len())?.to_be_bytes());
        body.extend_from_slice(batch);
        self.send(0, 3, &body)?;
        let answer = self.answer()?;
        let at = 4 + 2 + TOPIC.len() + 4 + 4;
        let code = answer.get(at..at + 2).context("a short answer")?;
        ensure!(code == [0, 0], "refused with code {code:?}");
        Ok(())
    }

    /// Asks for all from `offset` on; the answer is left where it is.
    pub(crate) fn ask(&mut self, offset: i64) -> Result<()> {
        let mut body = (-1_i32).to_be_bytes().to_vec();
        for number in [500, 1, FETCH_BYTES] {
            body.extend_from_slice(&number.to_be_bytes());
        }
        body.push(0);
        body.extend_from_slice(&1_i32.to_be_bytes());
        text(&mut body, TOPIC);
        body.extend_from_slice(&1_i32.to_be_bytes());
        body.extend_from_slice(&0_i32.to_be_bytes());
        body.extend_from_slice(&offset.to_be_bytes());
        body.extend_from_slice(&FETCH_BYTES.to_be_bytes());
        self.send(1, 4, &body)
    }

    /// Reads the answer to [`Wire::ask`]: the records.
    pub(crate) fn fetched(&mut self) -> Result<Vec<u8>> {
        let mut answer = self.answer()?;
        // Throttle, topics, name, partitions, index, code, watermark, stable, aborted, length.
        let at = 4 + 4 + 2 + TOPIC.len() + 4 + 4;
        let code = answer.get(at..at + 2).context("a short answer")?;
        ensure!(code == [0, 0], "refused with code {code:?}");
        let records = at + 2 + 8 + 8 + 4 + 4;
        ensure!(answer.len() >= records, "a short answer");
        Ok(answer.split_off(records))
    }
}
