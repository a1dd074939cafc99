//! A 16550A serial port.
//!
//! The transmitter is always empty: what the guest writes goes to the output at once. What comes in waits
//! in a FIFO of 16 bytes; whoever feeds it waits while that is full ([`Uart::feed`]).

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use translate::ops::Size;

use crate::bus::Device;
use crate::wire::Wire;

/// Where the guest's bytes go.
pub trait Output: Send + Sync {
    /// Takes bytes; may block while the other side is slow.
    fn put(&self, bytes: &[u8]);
}

const FIFO: usize = 16;

/// Registers, by offset.
mod register {
    pub const DATA: u64 = 0;
    pub const IER: u64 = 1;
    pub const IIR_FCR: u64 = 2;
    pub const LCR: u64 = 3;
    pub const MCR: u64 = 4;
    pub const LSR: u64 = 5;
    pub const MSR: u64 = 6;
    pub const SCRATCH: u64 = 7;
}

/// Interrupt enable: bytes have come.
const IER_RECEIVED: u8 = 1;
/// Interrupt enable: the transmitter is empty.
const IER_EMPTY: u8 = 2;
const IIR_NONE: u8 = 1;
const IIR_EMPTY: u8 = 2;
const IIR_RECEIVED: u8 = 4;
const IIR_FIFO: u8 = 0xc0;
const FCR_ENABLE: u8 = 1;
const FCR_CLEAR: u8 = 2;
/// The first two registers are the divisor.
const LCR_DIVISOR: u8 = 0x80;
const MCR_LOOP: u8 = 0x10;
const LSR_READY: u8 = 1;
const LSR_EMPTY: u8 = 0x60;
/// Carrier, ready, clear to send.
const MSR_CONNECTED: u8 = 0xb0;

struct State {
    received: VecDeque<u8>,
    divisor: [u8; 2],
    ier: u8,
    lcr: u8,
    mcr: u8,
    scratch: u8,
    fifo: bool,
    /// The transmitter has become empty, and the guest has not looked yet.
    emptied: bool,
    /// Nothing comes in any more.
    unplugged: bool,
}

/// The port.
pub struct Uart {
    state: Mutex<State>,
    /// There is room, or nobody is interested any more.
    room: Condvar,
    output: Arc<dyn Output>,
    interrupt: Arc<dyn Wire>,
}

impl State {
    /// What the guest is to be told, the most urgent first.
    fn cause(&self) -> u8 {
        if self.ier & IER_RECEIVED != 0 && !self.received.is_empty() {
            IIR_RECEIVED
        } else if self.ier & IER_EMPTY != 0 && self.emptied {
            IIR_EMPTY
        } else {
            IIR_NONE
        }
    }

    fn has_divisor(&self) -> bool {
        self.lcr & LCR_DIVISOR != 0
    }

    fn msr(&self) -> u8 {
        if self.mcr & MCR_LOOP == 0 {
            return MSR_CONNECTED;
        }
        // The outputs come back: DTR as DSR, RTS as CTS, and the two others.
        let bit = |from: u8, to: u8| (self.mcr >> from & 1) << to;
        bit(0, 5) | bit(1, 4) | bit(2, 6) | bit(3, 7)
    }

    fn read(&mut self, offset: u64) -> u8 {
        match offset {
            register::DATA if self.has_divisor() => self.divisor[0],
            register::DATA => self.received.pop_front().unwrap_or(0),
            register::IER if self.has_divisor() => self.divisor[1],
            register::IER => self.ier,
            register::IIR_FCR => {
                let cause = self.cause();
                if cause == IIR_EMPTY {
                    self.emptied = false;
                }
                cause | if self.fifo { IIR_FIFO } else { 0 }
            }
            register::LCR => self.lcr,
            register::MCR => self.mcr,
            register::LSR => {
                LSR_EMPTY
                    | if self.received.is_empty() {
                        0
                    } else {
                        LSR_READY
                    }
            }
            register::MSR => self.msr(),
            register::SCRATCH => self.scratch,
            _ => 0,
        }
    }

    /// Gives the byte that is to be sent, if any.
    fn write(&mut self, offset: u64, value: u8) -> Option<u8> {
        match offset {
            register::DATA if self.has_divisor() => self.divisor[0] = value,
            register::DATA => {
                self.emptied = true;
                if self.mcr & MCR_LOOP == 0 {
                    return Some(value);
                }
                if self.received.len() < FIFO {
                    self.received.push_back(value);
                }
            }
            register::IER if self.has_divisor() => self.divisor[1] = value,
            register::IER => {
                // Who turns the interrupt on is told that the transmitter is empty.
                self.emptied |= value & !self.ier & IER_EMPTY != 0;
                self.ier = value & 0xf;
            }
            register::IIR_FCR => {
                self.fifo = value & FCR_ENABLE != 0;
                if value & FCR_CLEAR != 0 {
                    self.received.clear();
                }
            }
            register::LCR => self.lcr = value,
            register::MCR => self.mcr = value & 0x1f,
            register::SCRATCH => self.scratch = value,
            _ => {}
        }
        None
    }
}

impl Uart {
    /// A port that sends to `output`.
    pub fn new(output: Arc<dyn Output>, interrupt: Arc<dyn Wire>) -> Arc<Uart> {
        Arc::new(Uart {
            state: Mutex::new(State {
                received: VecDeque::new(),
                divisor: [12, 0],
                ier: 0,
                lcr: 3,
                mcr: 8,
                scratch: 0,
                fifo: false,
                emptied: false,
                unplugged: false,
            }),
            room: Condvar::new(),
            output,
            interrupt,
        })
    }

    /// Gives the guest bytes to read; waits while it does not read those that it has, until the port is
    /// unplugged.
    pub fn feed(&self, bytes: &[u8]) {
        let mut state = self.lock();
        for &byte in bytes {
            while state.received.len() >= FIFO && !state.unplugged {
                state = self
                    .room
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if state.unplugged {
                return;
            }
            state.received.push_back(byte);
            self.update(&state);
        }
    }

    /// The guest has ended: nobody waits for it to read.
    pub fn unplug(&self) {
        self.lock().unplugged = true;
        self.room.notify_all();
    }

    /// Sends bytes as if the guest had written them, for firmware.
    pub fn send(&self, bytes: &[u8]) {
        self.output.put(bytes);
    }

    /// Takes a byte that has come, as if the guest had read it, for firmware.
    pub fn take(&self) -> Option<u8> {
        let mut state = self.lock();
        let byte = state.received.pop_front();
        self.settle(&state);
        byte
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the interrupt to where it belongs. The lock is held, so that the last word is right.
    fn update(&self, state: &State) {
        self.interrupt.set(state.cause() != IIR_NONE);
    }

    fn settle(&self, state: &State) {
        self.update(state);
        if state.received.len() < FIFO {
            self.room.notify_all();
        }
    }
}

impl Device for Uart {
    fn read(&self, offset: u64, _size: Size) -> u64 {
        let mut state = self.lock();
        let value = state.read(offset);
        self.settle(&state);
        u64::from(value)
    }

    fn write(&self, offset: u64, _size: Size, value: u64) {
        let sent = {
            let mut state = self.lock();
            let sent = state.write(offset, value as u8);
            self.settle(&state);
            sent
        };
        if let Some(byte) = sent {
            self.output.put(&[byte]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::wire::tests::Probe;

    #[derive(Default)]
    struct Sent(Mutex<Vec<u8>>);

    impl Output for Sent {
        fn put(&self, bytes: &[u8]) {
            self.0.lock().expect("no panic holds it").extend(bytes);
        }
    }

    fn uart() -> (Arc<Uart>, Arc<Sent>, Arc<Probe>) {
        let (sent, probe) = (Arc::new(Sent::default()), Arc::new(Probe::default()));
        let uart = Uart::new(Arc::clone(&sent) as _, Arc::clone(&probe) as _);
        (uart, sent, probe)
    }

    fn read(uart: &Uart, offset: u64) -> u8 {
        uart.read(offset, Size::B1) as u8
    }

    #[test]
    fn bytes_go_out_and_empty_is_told_once() {
        let (uart, sent, probe) = uart();
        uart.write(register::DATA, Size::B1, u64::from(b'x'));
        assert_eq!(*sent.0.lock().expect("no panic holds it"), b"x");
        assert!(!probe.level(), "not enabled");
        uart.write(register::IER, Size::B1, 2);
        assert!(probe.level());
        assert_eq!(read(&uart, register::IIR_FCR), IIR_EMPTY);
        assert!(!probe.level());
        assert_eq!(read(&uart, register::IIR_FCR), IIR_NONE);
        assert_eq!(read(&uart, register::LSR), LSR_EMPTY);
    }

    #[test]
    fn bytes_come_in_in_order_and_none_is_lost() {
        let (uart, _, probe) = uart();
        uart.write(register::IER, Size::B1, 1);
        let feeder = {
            let uart = Arc::clone(&uart);
            thread::spawn(move || uart.feed(&(0..100).collect::<Vec<u8>>()))
        };
        let mut got = Vec::new();
        while got.len() < 100 {
            if read(&uart, register::LSR) & LSR_READY != 0 {
                assert!(probe.level());
                got.push(read(&uart, register::DATA));
            } else {
                thread::yield_now();
            }
        }
        feeder.join().expect("it does not panic");
        assert_eq!(got, (0..100).collect::<Vec<u8>>());
        assert!(!probe.level());
    }

    #[test]
    fn nobody_waits_for_a_guest_that_has_ended() {
        let (uart, _, _) = uart();
        let feeder = {
            let uart = Arc::clone(&uart);
            thread::spawn(move || uart.feed(&[7; 100]))
        };
        uart.unplug();
        feeder.join().expect("it does not panic");
        uart.feed(&[8; 100]);
    }

    #[test]
    fn a_driver_that_probes_finds_a_16550a() {
        let (uart, sent, _) = uart();
        // Scratch register, FIFOs, divisor latch, loop.
        uart.write(register::SCRATCH, Size::B1, 0xa5);
        assert_eq!(read(&uart, register::SCRATCH), 0xa5);
        uart.write(register::IIR_FCR, Size::B1, 1);
        assert_eq!(read(&uart, register::IIR_FCR), IIR_FIFO | IIR_NONE);
        uart.write(register::LCR, Size::B1, 0x83);
        uart.write(register::DATA, Size::B1, 1);
        assert_eq!(read(&uart, register::DATA), 1);
        uart.write(register::LCR, Size::B1, 3);
        uart.write(register::MCR, Size::B1, u64::from(MCR_LOOP | 0xa));
        assert_eq!(read(&uart, register::MSR), 0x90);
        uart.write(register::DATA, Size::B1, 7);
        assert_eq!(read(&uart, register::DATA), 7);
        assert!(sent.0.lock().expect("no panic holds it").is_empty());
    }
}
