//! Frame Streams: frames on a stream, with a handshake in both directions.
//!
//! ```text
//! we                     collector
//! READY(content type) ─►
//!                     ◄─ ACCEPT(content type)
//! START(content type) ─►
//! frames …            ─►
//! STOP                ─►
//!                     ◄─ FINISH
//! ```
//!
//! Numbers are big-endian. A data frame is its length and its octets; a length of zero begins a control frame.
//! <https://farsightsec.github.io/fstrm/>

use std::io::{self, Read, Write};

/// What the frames hold.
const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";
const ACCEPT: u32 = 1;
const START: u32 = 2;
const STOP: u32 = 3;
const READY: u32 = 4;
/// The field of a control frame that holds a content type.
const FIELD_CONTENT_TYPE: u32 = 1;
/// "Control frames … maximum length of 512 octets."
const MOST_CONTROL_BYTES: u32 = 512;

/// Begins the stream: frames may follow.
pub(super) fn begin(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&control(READY, Some(CONTENT_TYPE)))?;
    let (kind, types) = read_control(stream)?;
    if kind != ACCEPT {
        let text = format!("the collector begins with a control frame of type {kind}, not with ACCEPT");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    // One that names none takes all.
    if !types.is_empty() && !types.iter().any(|given| given == CONTENT_TYPE) {
        let text = "the collector does not take protobuf:dnstap.Dnstap";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    stream.write_all(&control(START, Some(CONTENT_TYPE)))
}

/// Ends the stream. The collector's FINISH is waited for: until then it may not have read all.
pub(super) fn end(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&control(STOP, None))?;
    read_control(stream).map(|_| ())
}

/// Puts a frame behind others.
pub(super) fn push(frames: &mut Vec<u8>, frame: &[u8]) {
    frames.extend_from_slice(&(frame.len() as u32).to_be_bytes());
    frames.extend_from_slice(frame);
}

fn control(kind: u32, content_type: Option<&[u8]>) -> Vec<u8> {
    let mut body = kind.to_be_bytes().to_vec();
    if let Some(content_type) = content_type {
        body.extend_from_slice(&FIELD_CONTENT_TYPE.to_be_bytes());
        body.extend_from_slice(&(content_type.len() as u32).to_be_bytes());
        body.extend_from_slice(content_type);
    }
    let mut frame = vec![0; 4];
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

/// The type of a control frame, and the content types in it.
fn read_control(stream: &mut impl Read) -> io::Result<(u32, Vec<Vec<u8>>)> {
    let bad = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let [escape, length] = [0, 4].map(|at| u32::from_be_bytes(std::array::from_fn(|octet| head[at + octet])));
    if escape != 0 || !(4..=MOST_CONTROL_BYTES).contains(&length) {
        return Err(bad("what the collector sends is no control frame of Frame Streams"));
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body)?;
    let (kind, mut rest) = number(&body).ok_or_else(|| bad("a control frame is too short"))?;
    let mut types = Vec::new();
    while !rest.is_empty() {
        let field = number(rest).and_then(|(field, rest)| Some((field, number(rest)?)));
        let (field, (bytes, behind)) = field.ok_or_else(|| bad("a field of a control frame is cut off"))?;
        let split = behind.split_at_checked(bytes as usize);
        let (value, behind) = split.ok_or_else(|| bad("a field of a control frame is cut off"))?;
        if field == FIELD_CONTENT_TYPE {
            types.push(value.to_vec());
        }
        rest = behind;
    }
    Ok((kind, types))
}

fn number(octets: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = octets.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it says, and what was said to it.
    struct Collector<'a>(&'a [u8], Vec<u8>);

    impl Read for Collector<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            self.0.read(to)
        }
    }

    impl Write for Collector<'_> {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.1.write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn frames_follow_once_the_content_type_is_accepted() {
        for accept in [control(ACCEPT, Some(CONTENT_TYPE)), control(ACCEPT, None)] {
            let mut collector = Collector(&accept, Vec::new());
            begin(&mut collector).expect("begun");
            let ready = control(READY, Some(CONTENT_TYPE));
            assert_eq!(collector.1, [ready, control(START, Some(CONTENT_TYPE))].concat());
        }
        assert_eq!(control(STOP, None), [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3]);
    }

    #[test]
    fn what_is_no_collector_is_an_error() {
        let other = control(ACCEPT, Some(b"protobuf:other"));
        let mut cut = control(ACCEPT, Some(CONTENT_TYPE));
        cut.truncate(30);
        let mut short = control(ACCEPT, Some(CONTENT_TYPE));
        short[7] -= 1;
        for said in [
            other,
            cut,
            short,
            control(5, None),
            b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
        ] {
            begin(&mut Collector(&said, Vec::new())).expect_err("no collector");
        }
    }
}
