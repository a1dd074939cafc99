//! The firmware that is built in: the supervisor binary interface, version 2.0.
//!
//! A hart that calls it does what it asks for on its own thread. What concerns other harts goes
//! through their lines ([`Lines`]): an interrupt, or a call to look at what [`fences`] or [`hsm`]
//! have for them.

mod fences;
mod hsm;

use std::sync::Arc;

use translate::Reg;
use vcpu::Vcpu;
use vm_memory::{Bytes, GuestAddress};

use crate::hart::Hart;
use crate::hart::lines::{self, Lines};
use crate::hart::run::{After, Firmware};
use crate::power::{End, Power};
use crate::ram::Ram;
use crate::uart::Uart;

use self::fences::{Fences, Waited};
use self::hsm::{Hsm, Start};

/// Why a call failed, by its number in the standard.
#[allow(missing_docs, reason = "the standard's names")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
enum Error {
    NotSupported = -2,
    InvalidParam = -3,
    InvalidAddress = -5,
    AlreadyAvailable = -6,
}

/// What a call gives: a value, for the caller's a1.
type Result = std::result::Result<u64, Error>;

/// Numbers of extensions.
mod extension {
    pub const LEGACY_PUTCHAR: u64 = 1;
    pub const LEGACY_GETCHAR: u64 = 2;
    pub const LEGACY_SHUTDOWN: u64 = 8;
    pub const BASE: u64 = 0x10;
    pub const TIME: u64 = 0x5449_4d45;
    pub const IPI: u64 = 0x0073_5049;
    pub const RFENCE: u64 = 0x5246_4e43;
    pub const HSM: u64 = 0x0048_534d;
    pub const SRST: u64 = 0x5352_5354;
    pub const DBCN: u64 = 0x4442_434e;

    /// Those that the guest may ask about.
    pub const ALL: [u64; 10] = [
        LEGACY_PUTCHAR,
        LEGACY_GETCHAR,
        LEGACY_SHUTDOWN,
        BASE,
        TIME,
        IPI,
        RFENCE,
        HSM,
        SRST,
        DBCN,
    ];
}

/// 2.0.
const SPECIFICATION: u64 = 2 << 24;
/// Nobody else's, as far as the standard knows.
const IMPLEMENTATION: u64 = 0x4853;
const IMPLEMENTATION_VERSION: u64 = 1;

/// Bytes that the debug console takes at once; the caller is told how many went.
const CONSOLE_CHUNK: u64 = 4096;

/// The firmware.
pub struct Sbi {
    lines: Vec<Arc<Lines>>,
    power: Arc<Power>,
    uart: Arc<Uart>,
    ram: Arc<Ram>,
    hsm: Hsm,
    fences: Fences,
}

impl Sbi {
    /// Firmware for harts with these lines, all stopped but the first, which begins at `entry` with
    /// `opaque` in a1.
    pub fn new(
        lines: Vec<Arc<Lines>>,
        power: Arc<Power>,
        uart: Arc<Uart>,
        ram: Arc<Ram>,
        entry: u64,
        opaque: u64,
    ) -> Arc<Sbi> {
        let hsm = Hsm::new(lines.len());
        // It was stopped.
        let _ = hsm.start(0, Start { entry, opaque });
        Arc::new(Sbi {
            hsm,
            fences: Fences::new(lines.len()),
            lines,
            power,
            uart,
            ram,
        })
    }

    /// The machine has ended: nobody waits for another hart any more.
    pub fn end(&self) {
        self.fences.end();
    }

    fn base(&self, function: u64, id: u64) -> Result {
        match function {
            0 => Ok(SPECIFICATION),
            1 => Ok(IMPLEMENTATION),
            2 => Ok(IMPLEMENTATION_VERSION),
            3 => Ok(u64::from(extension::ALL.contains(&id))),
            // Vendor, architecture and implementation of the harts: none.
            4..=6 => Ok(0),
            _ => Err(Error::NotSupported),
        }
    }

    /// The harts of a mask.
    fn harts(&self, mask: u64, base: u64) -> std::result::Result<Vec<usize>, Error> {
        if base == u64::MAX {
            return Ok((0..self.lines.len()).collect());
        }
        let wanted = (0..64).filter(|bit| mask >> bit & 1 != 0);
        let hart = |bit: u64| {
            let hart = base
                .checked_add(bit)
                .and_then(|hart| usize::try_from(hart).ok());
            hart.filter(|&hart| hart < self.lines.len())
                .ok_or(Error::InvalidParam)
        };
        wanted.map(hart).collect()
    }

    fn interrupt(&self, mask: u64, base: u64) -> Result {
        for hart in self.harts(mask, base)? {
            self.lines[hart].set(lines::SSIP);
        }
        Ok(0)
    }

    fn fence(&self, vcpu: &mut Vcpu<Hart>, function: u64, mask: u64, base: u64) -> Result {
        match function {
            // Code is shared by all harts: what has changed is dropped for all of them. They only have to
            // leave the block that they are in.
            0 => vcpu.fence_i(),
            1 | 2 => {}
            // There is no hypervisor.
            _ => return Err(Error::NotSupported),
        }
        let me = vcpu.memory().number();
        let mut others = self.harts(mask, base)?;
        if others.contains(&me) {
            flush(vcpu);
        }
        others.retain(|&hart| hart != me);
        let tickets = self.fences.ask(others.iter().copied());
        for hart in others {
            self.lines[hart].call();
        }
        while let Waited::Serve(up_to) = vcpu.while_offline(|| self.fences.wait(me, &tickets)) {
            flush(vcpu);
            self.fences.served(me, up_to);
        }
        Ok(0)
    }

    fn start(&self, hart: u64, entry: u64, opaque: u64) -> Result {
        if !self.ram.range().contains(&entry) {
            return Err(Error::InvalidAddress);
        }
        let hart = usize::try_from(hart).map_err(|_| Error::InvalidParam)?;
        self.hsm.start(hart, Start { entry, opaque })?;
        self.lines[hart].call();
        Ok(0)
    }

    /// Sleeps until there is an interrupt. Hardware that forgets its registers then begins at `entry`.
    fn suspend(&self, vcpu: &mut Vcpu<Hart>, kind: u64, entry: u64, opaque: u64) -> After {
        const RETENTIVE: u64 = 0;
        const NON_RETENTIVE: u64 = 0x8000_0000;
        let wrong = match kind {
            RETENTIVE => {
                answer(vcpu, Ok(0));
                return After::Wait;
            }
            NON_RETENTIVE if self.ram.range().contains(&entry) => {
                begin(vcpu, Start { entry, opaque });
                return After::Wait;
            }
            NON_RETENTIVE => Error::InvalidAddress,
            _ => Error::NotSupported,
        };
        answer(vcpu, Err(wrong));
        After::Go
    }

    fn reset(&self, kind: u64, reason: u64) -> Result {
        const SHUTDOWN: u64 = 0;
        const COLD_REBOOT: u64 = 1;
        const WARM_REBOOT: u64 = 2;
        const NO_REASON: u64 = 0;
        let end = match kind {
            SHUTDOWN => End::Off(i32::from(reason != NO_REASON)),
            COLD_REBOOT | WARM_REBOOT => End::Reset,
            _ => return Err(Error::InvalidParam),
        };
        self.power.end(end);
        Ok(0)
    }

    /// The debug console: functions on bytes at a physical address, or on one byte.
    fn console(&self, function: u64, a0: u64, a1: u64, a2: u64) -> Result {
        const WRITE: u64 = 0;
        const READ: u64 = 1;
        const WRITE_BYTE: u64 = 2;
        match function {
            WRITE | READ if a2 != 0 => Err(Error::InvalidParam),
            WRITE => {
                let mut bytes = vec![0; a0.min(CONSOLE_CHUNK) as usize];
                let read = self
                    .ram
                    .device_view()
                    .read_slice(&mut bytes, GuestAddress(a1));
                if !bytes.is_empty() {
                    read.map_err(|_| Error::InvalidParam)?;
                }
                self.uart.send(&bytes);
                Ok(bytes.len() as u64)
            }
            READ => {
                let mut count = 0;
                while count < a0 {
                    let Some(byte) = self.uart.take() else {
                        break;
                    };
                    let to = GuestAddress(a1.wrapping_add(count));
                    let written = self.ram.device_view().write_obj(byte, to);
                    written.map_err(|_| Error::InvalidParam)?;
                    count += 1;
                }
                Ok(count)
            }
            WRITE_BYTE => {
                self.uart.send(&[a0 as u8]);
                Ok(0)
            }
            _ => Err(Error::NotSupported),
        }
    }
}

impl Firmware for Sbi {
    fn call(&self, vcpu: &mut Vcpu<Hart>) -> After {
        let state = vcpu.state();
        let [a0, a1, a2, a6, a7] = [10, 11, 12, 16, 17].map(|reg| state.get(Reg(reg)));
        state.pc = state.pc.wrapping_add(4);
        let result = match a7 {
            extension::BASE => self.base(a6, a0),
            extension::TIME if a6 == 0 => {
                vcpu.memory().set_deadline(a0);
                Ok(0)
            }
            extension::IPI if a6 == 0 => self.interrupt(a0, a1),
            extension::RFENCE => self.fence(vcpu, a6, a0, a1),
            extension::HSM => match a6 {
                0 => self.start(a0, a1, a2),
                1 => {
                    self.hsm.stop(vcpu.memory().number());
                    return After::Stopped;
                }
                2 => self.hsm.status(a0 as usize),
                3 => return self.suspend(vcpu, a0, a1, a2),
                _ => Err(Error::NotSupported),
            },
            extension::SRST if a6 == 0 => self.reset(a0, a1),
            extension::DBCN => vcpu.while_offline(|| self.console(a6, a0, a1, a2)),
            // The old calls have one result.
            extension::LEGACY_PUTCHAR => {
                vcpu.while_offline(|| self.uart.send(&[a0 as u8]));
                vcpu.state().set(Reg(10), 0);
                return After::Go;
            }
            extension::LEGACY_GETCHAR => {
                let byte = self.uart.take().map_or(u64::MAX, u64::from);
                vcpu.state().set(Reg(10), byte);
                return After::Go;
            }
            extension::LEGACY_SHUTDOWN => self.reset(0, 0),
            _ => Err(Error::NotSupported),
        };
        answer(vcpu, result);
        After::Go
    }

    fn serve(&self, vcpu: &mut Vcpu<Hart>) {
        let me = vcpu.memory().number();
        if let Some(up_to) = self.fences.asked(me) {
            flush(vcpu);
            self.fences.served(me, up_to);
        }
    }

    fn wait_for_start(&self, vcpu: &mut Vcpu<Hart>) -> bool {
        let me = vcpu.memory().number();
        loop {
            self.lines[me].take_call();
            self.serve(vcpu);
            if self.power.ended().is_some() {
                return false;
            }
            if let Some(start) = self.hsm.take_start(me) {
                begin(vcpu, start);
                return true;
            }
            vcpu.while_offline(|| self.lines[me].wait(0));
        }
    }
}

fn answer(vcpu: &mut Vcpu<Hart>, result: Result) {
    let (error, value) = match result {
        Ok(value) => (0, value),
        Err(error) => (error as i64 as u64, 0),
    };
    vcpu.state().set(Reg(10), error);
    vcpu.state().set(Reg(11), value);
}

/// Forgets translations.
fn flush(vcpu: &mut Vcpu<Hart>) {
    let (hart, state) = vcpu.parts();
    hart.fence(state);
}

/// Makes a hart begin as the standard wants it: in supervisor mode, without translation, its number in
/// a0.
fn begin(vcpu: &mut Vcpu<Hart>, start: Start) {
    let (hart, state) = vcpu.parts();
    hart.reset();
    hart.begin(state, start.entry);
    hart.enter_supervisor(state);
    state.set(Reg(10), hart.number() as u64);
    state.set(Reg(11), start.opaque);
}
