//! Cuts a stream of bytes into JSON objects, each byte looked at once.
//!
//! QMP has objects one behind the other, with any white space between, not lines. What cannot become
//! an object is reported once, and everything up to the end of its line is skipped.

/// An object may have this many bytes.
pub const MAX_MESSAGE: usize = 256 << 10;
/// Brackets within brackets.
const MAX_DEPTH: usize = 64;

/// What came out of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// An object, or what has the outline of one.
    Message(Vec<u8>),
    /// What can be none: why.
    Broken(&'static str),
    /// An object with too many bytes. There is no going on.
    TooLong,
}

/// See the module.
#[derive(Default)]
pub struct Framer {
    message: Vec<u8>,
    /// The closing brackets that are to come.
    open: Vec<u8>,
    in_string: bool,
    escaped: bool,
    skipping: bool,
}

impl Framer {
    /// Takes bytes off `input` until something comes out, or nothing is left.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Frame> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            if let Some(frame) = self.take(byte) {
                return Some(frame);
            }
        }
        None
    }

    fn take(&mut self, byte: u8) -> Option<Frame> {
        if self.skipping {
            self.skipping = byte != b'\n';
            return None;
        }
        if self.open.is_empty() {
            return match byte {
                b' ' | b'\t' | b'\r' | b'\n' => None,
                b'{' => self.put(byte),
                _ => self.give_up(byte, "an object is expected"),
            };
        }
        self.put(byte)
    }

    fn put(&mut self, byte: u8) -> Option<Frame> {
        if self.message.len() == MAX_MESSAGE {
            return Some(Frame::TooLong);
        }
        self.message.push(byte);
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                0..0x20 => return self.give_up(byte, "a control character in a string"),
                _ => {}
            }
            return None;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' if self.open.len() == MAX_DEPTH => {
                return self.give_up(byte, "too many brackets within brackets");
            }
            b'{' => self.open.push(b'}'),
            b'[' => self.open.push(b']'),
            b'}' | b']' => {
                if self.open.pop() != Some(byte) {
                    return self.give_up(byte, "brackets do not match");
                }
                if self.open.is_empty() {
                    return Some(Frame::Message(std::mem::take(&mut self.message)));
                }
            }
            _ => {}
        }
        None
    }

    fn give_up(&mut self, byte: u8, why: &'static str) -> Option<Frame> {
        *self = Framer {
            skipping: byte != b'\n',
            ..Framer::default()
        };
        Some(Frame::Broken(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out: texts, and `!` for what is broken.
    fn frames(text: &str) -> Vec<String> {
        let mut framer = Framer::default();
        let mut input = text.as_bytes();
        let mut found = Vec::new();
        while let Some(frame) = framer.next(&mut input) {
            found.push(match frame {
                Frame::Message(bytes) => String::from_utf8(bytes).unwrap(),
                Frame::Broken(_) => "!".into(),
                Frame::TooLong => return found,
            });
        }
        found
    }

    #[test]
    fn objects_need_no_lines() {
        assert_eq!(
            frames("{}{\"a\":[1]}\r\n {\n}"),
            ["{}", "{\"a\":[1]}", "{\n}"]
        );
        let brackets = r#"{"}\"{":"]"}"#;
        assert_eq!(frames(brackets), [brackets]);
        assert!(frames("{\"a\":").is_empty());
    }

    #[test]
    fn what_is_broken_ends_with_its_line() {
        assert_eq!(frames("hello {}\n{}"), ["!", "{}"]);
        assert_eq!(frames("{]} {}\n{}"), ["!", "{}"]);
        assert_eq!(frames("{\"a\n{}"), ["!", "{}"]);
        assert_eq!(frames(&format!("{{{}\n{{}}", "[".repeat(100))), ["!", "{}"]);
    }

    #[test]
    fn a_message_has_a_limit() {
        let mut framer = Framer::default();
        let text = format!("{{\"{}", "x".repeat(MAX_MESSAGE));
        assert_eq!(framer.next(&mut text.as_bytes()), Some(Frame::TooLong));
    }
}
