//! What is meant for hartscope among the bytes that are typed.

/// A byte, or what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// For the guest.
    Byte(u8),
    /// End the machine.
    Quit,
    /// Over to the monitor, or back.
    Monitor,
    /// Say what can be typed.
    Help,
    /// Nothing (yet).
    None,
}

/// What `Ctrl-a h` says.
pub const HELP: &[u8] = b"\r\n\
    Ctrl-a h       this text\r\n\
    Ctrl-a x       end the machine\r\n\
    Ctrl-a c       to the monitor and back\r\n\
    Ctrl-a Ctrl-a  Ctrl-a for the guest\r\n";

const ESCAPE: u8 = 1;

/// Looks for commands.
pub struct Keys {
    /// There are commands at all.
    commands: bool,
    escaped: bool,
}

impl Keys {
    /// If there are no `commands`, every byte is the guest's.
    pub fn new(commands: bool) -> Keys {
        Keys {
            commands,
            escaped: false,
        }
    }

    /// The next byte.
    pub fn put(&mut self, byte: u8) -> Key {
        if !self.commands {
            return Key::Byte(byte);
        }
        if !std::mem::take(&mut self.escaped) {
            self.escaped = byte == ESCAPE;
            return if self.escaped {
                Key::None
            } else {
                Key::Byte(byte)
            };
        }
        match byte {
            b'x' => Key::Quit,
            b'c' => Key::Monitor,
            b'h' | b'?' => Key::Help,
            ESCAPE => Key::Byte(ESCAPE),
            _ => Key::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_follow_the_escape() {
        let mut keys = Keys::new(true);
        let seen: Vec<Key> = b"ax\x01c\x01\x01\x01z\x01xb"
            .iter()
            .map(|&b| keys.put(b))
            .collect();
        use Key::*;
        let expected = [
            Byte(b'a'),
            Byte(b'x'),
            None,
            Monitor,
            None,
            Byte(1),
            None,
            None,
            None,
            Quit,
            Byte(b'b'),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn without_commands_every_byte_is_the_guests() {
        let mut keys = Keys::new(false);
        assert_eq!(keys.put(1), Key::Byte(1));
        assert_eq!(keys.put(b'x'), Key::Byte(b'x'));
    }
}
