//! A few commands to the machine, by hand.

/// What the machine is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End.
    Quit,
    /// Start again.
    Reset,
}

const PROMPT: &str = "(hartscope) ";

const HELP: &str = "help            this text\r\n\
    info status     how the machine is\r\n\
    system_reset    start the machine again\r\n\
    quit            end the machine\r\n\
    Ctrl-a c        back to the guest\r\n";

/// Whether the user talks to the monitor, and the line that is being typed.
#[derive(Default)]
pub struct Monitor {
    on: bool,
    line: Vec<u8>,
}

/// Longer lines are no commands.
const LIMIT: usize = 256;

impl Monitor {
    /// Whether keys are for the monitor.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// To the monitor or back to the guest; gives what to show.
    pub fn toggle(&mut self) -> String {
        self.on = !self.on;
        self.line.clear();
        if self.on {
            format!("\r\n{PROMPT}")
        } else {
            "\r\n".to_owned()
        }
    }

    /// A key; gives what to show, and what the machine is to do.
    pub fn put(&mut self, byte: u8, status: impl FnOnce() -> String) -> (String, Option<Order>) {
        match byte {
            b'\r' | b'\n' => {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                let (text, order) = answer(line.trim(), status);
                (format!("\r\n{text}{PROMPT}"), order)
            }
            0x7f | 0x08 => match self.line.pop() {
                Some(_) => ("\x08 \x08".to_owned(), None),
                None => (String::new(), None),
            },
            b' '..=b'~' if self.line.len() < LIMIT => {
                self.line.push(byte);
                (char::from(byte).to_string(), None)
            }
            _ => (String::new(), None),
        }
    }
}

fn answer(line: &str, status: impl FnOnce() -> String) -> (String, Option<Order>) {
    match line {
        "" => (String::new(), None),
        "quit" | "q" => (String::new(), Some(Order::Quit)),
        "system_reset" => (String::new(), Some(Order::Reset)),
        "help" | "?" => (HELP.to_owned(), None),
        "info status" => (format!("VM status: {}\r\n", status()), None),
        _ => (
            format!("unknown command: {line}: 'help' lists the commands\r\n"),
            None,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(monitor: &mut Monitor, keys: &str) -> (String, Option<Order>) {
        let mut shown = String::new();
        let mut order = None;
        for byte in keys.bytes() {
            let (text, wanted) = monitor.put(byte, || "running, 3 harts".to_owned());
            shown.push_str(&text);
            order = order.or(wanted);
        }
        (shown, order)
    }

    #[test]
    fn lines_are_edited_and_answered() {
        let mut monitor = Monitor::default();
        assert!(monitor.toggle().ends_with(PROMPT) && monitor.is_on());
        let (shown, order) = typed(&mut monitor, "info stax\x7ftus\r");
        assert!(
            shown.contains("VM status: running, 3 harts") && order.is_none(),
            "{shown}"
        );
        let (shown, _) = typed(&mut monitor, "frobnicate\r");
        assert!(shown.contains("unknown command: frobnicate"), "{shown}");
        assert_eq!(typed(&mut monitor, "q\r").1, Some(Order::Quit));
        assert_eq!(typed(&mut monitor, "system_reset\n").1, Some(Order::Reset));
        monitor.toggle();
        assert!(!monitor.is_on());
    }
}
