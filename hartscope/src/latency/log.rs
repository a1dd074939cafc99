//! The HdrHistogram interval log: its lines, and how they are read.
//!
//! `Tag=vcpu0.kick,START,LENGTH,MAX,HISTOGRAM`: seconds since the log's base time, the maximum in
//! milliseconds, and the histogram in nanoseconds, deflated, in base 64. A kind of which a vCPU has
//! recorded nothing in an interval has no line in it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, IntervalLogWriterError, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializeError, V2DeflateSerializer};
use vcpu::latency::Counts;

use super::series::Series;

/// Nanoseconds in the unit of maxima.
const MAX_UNIT: f64 = 1e6;

/// An inflated histogram is no larger than this.
const LARGEST: u64 = 64 << 20;

/// A log that is being written.
pub struct IntervalLog<W> {
    writer: W,
    serializer: V2DeflateSerializer,
    started: Instant,
    /// When the last interval ended, since `started`.
    ended: Duration,
    /// What had been recorded then, by tag.
    before: BTreeMap<String, Counts>,
}

impl<W: Write> IntervalLog<W> {
    /// Writes what comes before the first interval, which begins now.
    pub fn begin(mut writer: W) -> io::Result<IntervalLog<W>> {
        let started = Instant::now();
        writer.write_all(&header(SystemTime::now())?)?;
        Ok(IntervalLog {
            writer,
            serializer: V2DeflateSerializer::new(),
            started,
            ended: Duration::ZERO,
            before: BTreeMap::new(),
        })
    }

    /// Writes what has been recorded since the last time.
    pub fn write(&mut self, now: Vec<Series>) -> io::Result<()> {
        let end = self.started.elapsed();
        let mut lines = Vec::new();
        for Series { kind, vcpu, counts } in now {
            let tag = tag(vcpu, &kind);
            let before = self.before.entry(tag.clone()).or_default();
            let histogram = counts.since(before).histogram();
            *before = counts;
            if !histogram.is_empty() {
                let interval = Interval {
                    tag,
                    start: self.ended,
                    length: end - self.ended,
                    histogram,
                };
                interval.write(&mut self.serializer, &mut lines)?;
            }
        }
        self.ended = end;
        self.writer.write_all(&lines)
    }
}

/// What a log begins with.
pub fn header(start: SystemTime) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("hartscope: latencies in nanoseconds, Interval_Max in milliseconds")
        .with_start_time(start)
        .with_base_time(start)
        .begin_log_with(&mut text, &mut V2DeflateSerializer::new())?;
    text.extend_from_slice(
        b"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\
          \"Interval_Compressed_Histogram\"\n",
    );
    Ok(text)
}

/// What a line is called. Some characters may not be in it.
fn tag(vcpu: usize, kind: &str) -> String {
    format!("vcpu{vcpu}.{}", kind.replace([',', ' ', '\r', '\n'], "_"))
}

/// The vCPU and the kind of a tag of ours.
pub fn parts(tag: &str) -> Option<(u32, &str)> {
    let (vcpu, kind) = tag.strip_prefix("vcpu")?.split_once('.')?;
    Some((vcpu.parse().ok()?, kind))
}

/// One line.
pub struct Interval {
    /// Empty if there is none.
    pub tag: String,
    pub start: Duration,
    pub length: Duration,
    pub histogram: Histogram<u64>,
}

impl Interval {
    /// Adds the line to `text`.
    pub fn write(
        &self,
        serializer: &mut V2DeflateSerializer,
        text: &mut Vec<u8>,
    ) -> io::Result<()> {
        let mut line = Vec::new();
        IntervalLogWriterBuilder::new()
            .with_max_value_divisor(MAX_UNIT)
            .begin_log_with(&mut line, serializer)?
            .write_histogram(
                &self.histogram,
                self.start,
                self.length,
                Tag::new(&self.tag),
            )
            .map_err(into_io)?;
        // Before each line comes a comment of what maxima are divided by: once is enough.
        text.extend(
            line.split_inclusive(|&byte| byte == b'\n')
                .skip(1)
                .flatten(),
        );
        Ok(())
    }
}

fn into_io(error: IntervalLogWriterError<V2DeflateSerializeError>) -> io::Error {
    match error {
        IntervalLogWriterError::IoError(error) => error,
        IntervalLogWriterError::SerializeError(error) => io::Error::other(error.to_string()),
    }
}

/// A log that has been read.
pub struct ReadLog {
    /// What the times of intervals count from, since the epoch.
    pub base: Duration,
    pub intervals: Vec<Interval>,
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("line {0}: not a line of an HdrHistogram interval log")]
    Line(usize),
    #[error("interval {0}: not a compressed histogram")]
    Histogram(usize),
}

impl ReadLog {
    /// Reads a log, whoever wrote it. What comes behind the last whole line was being written.
    pub fn parse(bytes: &[u8]) -> Result<ReadLog, ReadError> {
        let whole = bytes.iter().rposition(|&byte| byte == b'\n');
        let bytes = &bytes[..whole.map_or(0, |end| end + 1)];
        let mut log = ReadLog {
            base: Duration::ZERO,
            intervals: Vec::new(),
        };
        let mut base_is_given = false;
        for entry in IntervalLogIterator::new(bytes) {
            let entry = entry.map_err(|error| {
                let hdrhistogram::serialization::interval_log::LogIteratorError::ParseError {
                    offset,
                } = error;
                let lines = bytes[..offset].iter().filter(|&&byte| byte == b'\n');
                ReadError::Line(lines.count() + 1)
            })?;
            match entry {
                LogEntry::StartTime(start) if !base_is_given => log.base = start,
                LogEntry::StartTime(_) => {}
                LogEntry::BaseTime(base) => {
                    log.base = base;
                    base_is_given = true;
                }
                LogEntry::Interval(interval) => {
                    let histogram = decode(interval.encoded_histogram())
                        .ok_or(ReadError::Histogram(log.intervals.len() + 1))?;
                    log.intervals.push(Interval {
                        tag: interval.tag().map_or("", |tag| tag.as_str()).into(),
                        start: interval.start_timestamp(),
                        length: interval.duration(),
                        histogram,
                    });
                }
            }
        }
        Ok(log)
    }
}

/// The histogram in a line.
fn decode(text: &str) -> Option<Histogram<u64>> {
    /// Cookie, length of the payload, offset, digits, lowest, highest, ratio.
    const HEADER: usize = 40;
    const COMPRESSED: [u8; 4] = [0x1c, 0x84, 0x93, 0x14];
    let bytes = STANDARD.decode(text).ok()?;
    let inflated = match bytes.strip_prefix(&COMPRESSED) {
        // Inflated here, because there is to be a limit to it.
        Some(rest) => {
            let mut inflated = Vec::new();
            let decoder = ZlibDecoder::new(rest.get(4..)?);
            decoder.take(LARGEST).read_to_end(&mut inflated).ok()?;
            inflated
        }
        None => bytes,
    };
    // The library takes memory for what the header says.
    let payload = u32::from_be_bytes(inflated.get(4..8)?.try_into().ok()?);
    if inflated.len() < HEADER || payload as usize > inflated.len() - HEADER {
        return None;
    }
    Deserializer::new()
        .deserialize(&mut inflated.as_slice())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(tag: &str, values: &[u64]) -> Interval {
        let mut histogram = Histogram::new_with_bounds(1, 1 << 40, 2).expect("good bounds");
        for &value in values {
            histogram.record(value).expect("within the bounds");
        }
        Interval {
            tag: tag.into(),
            start: Duration::from_millis(1500),
            length: Duration::from_secs(1),
            histogram,
        }
    }

    fn text(intervals: &[Interval]) -> Vec<u8> {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut text = header(start).expect("memory is writable");
        for interval in intervals {
            let serializer = &mut V2DeflateSerializer::new();
            interval.write(serializer, &mut text).expect("as above");
        }
        text
    }

    #[test]
    fn what_is_written_can_be_read() {
        let written = [
            interval("vcpu0.kick", &[1, 1000, 1 << 39]),
            interval("", &[5]),
        ];
        let read = ReadLog::parse(&text(&written)).expect("it is a log");
        assert_eq!(read.base, Duration::from_secs(1_000_000));
        assert_eq!(read.intervals.len(), 2);
        for (read, written) in read.intervals.iter().zip(&written) {
            assert_eq!(read.tag, written.tag);
            assert_eq!((read.start, read.length), (written.start, written.length));
            assert_eq!(read.histogram, written.histogram);
        }
    }

    #[test]
    fn a_line_that_was_being_written_does_no_harm() {
        let whole = text(&[interval("a", &[1]), interval("a", &[2])]);
        let read = ReadLog::parse(&whole[..whole.len() - 1]).expect("a log all the same");
        assert_eq!(read.intervals.len(), 1);
    }

    #[test]
    fn damaged_logs_are_refused_without_a_panic() {
        let good = text(&[interval("a", &[1, 50, 1 << 30])]);
        for at in 0..good.len() {
            for value in [b'\n', b'A', b'9', 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = ReadLog::parse(&bad);
            }
        }
        assert!(matches!(
            ReadLog::parse(b"#x\nno log\n"),
            Err(ReadError::Line(2))
        ));
        let truncated = b"0.0,1.0,1.0,HISTFA==\n";
        assert!(matches!(
            ReadLog::parse(truncated),
            Err(ReadError::Histogram(1))
        ));
    }

    #[test]
    fn tags_have_parts() {
        assert_eq!(parts(&tag(12, "idle")), Some((12, "idle")));
        let odd = tag(0, "callback:a b,c.so");
        assert_eq!(parts(&odd), Some((0, "callback:a_b_c.so")));
        assert!(Tag::new(&odd).is_some());
        assert_eq!(parts("jHiccup"), None);
    }
}
