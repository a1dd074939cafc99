//! Harts, memory, the interruptor, the finisher, and a serial port that only sends.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{process, thread};

use machine::bus::{Bus, Device};
use machine::clint::Clint;
use machine::finisher::Finisher;
use machine::hart::Hart;
use machine::hart::lines::{self, Lines};
use machine::hart::memory::Physical;
use machine::hart::run::{Begin, Reset, run as run_hart};
use machine::hart::timer::{Clock, Timer};
use machine::power::{End, Power};
use machine::ram::Ram;
use machine::remote::Pause;
use machine::wire::Wire;
use machine::{loader, map};
use tb_cache::CodePages;
use translate::ops::Size;
use vcpu::{Backend, Config, Engine, Vcpu};

use crate::guest::Program;

/// A program that does not end is a bug; it ends the tests.
const LIMIT: Duration = Duration::from_secs(600);

#[derive(Default)]
struct Serial(Mutex<Vec<u8>>);

impl Device for Serial {
    fn read(&self, _offset: u64, _size: Size) -> u64 {
        0
    }

    fn write(&self, offset: u64, _size: Size, value: u64) {
        if offset == 0 {
            self.0.lock().expect("nobody panics").push(value as u8);
        }
    }
}

/// A software interrupt.
struct Software(Arc<Lines>);

impl Wire for Software {
    fn set(&self, level: bool) {
        match level {
            true => self.0.set(lines::MSIP),
            false => self.0.clear(lines::MSIP),
        }
    }
}

/// What the program says on the serial port.
pub fn run(program: &Program, backend: Backend, count: usize) -> String {
    let ram = Ram::new(map::RAM, 64 << 20).expect("memory");
    let loaded = loader::firmware(&ram, program.path()).expect("it was just built");
    let power = Arc::new(Power::default());
    let lines: Vec<Arc<Lines>> = (0..count).map(|_| Arc::default()).collect();
    let timer = Timer::new(Clock::start(), lines.clone());
    let serial = Arc::new(Serial::default());
    let software = lines
        .iter()
        .map(|lines| Arc::new(Software(lines.clone())) as _);
    let clint = Clint::new(software.collect(), timer.clone());
    let mut bus = Bus::default();
    bus.add(map::CLINT, c"clint", Arc::new(clint));
    bus.add(map::UART, c"serial", serial.clone());
    bus.add(
        map::FINISHER,
        c"finisher",
        Arc::new(Finisher::new(power.clone())),
    );
    let physical = Physical {
        ram: Arc::clone(&ram),
        bus: Arc::new(bus),
    };
    let config = Config {
        backend,
        tb_size: 16 << 20,
        ..Config::default()
    };
    let code: Arc<dyn CodePages> = ram.clone();
    let engine = Engine::new(&config, code).expect("an engine");
    ram.set_cache(Arc::downgrade(engine.cache()));
    power.on_end({
        let lines = lines.clone();
        move || lines.iter().for_each(|lines| lines.call())
    });
    let _timer = timer.start().expect("a thread");
    let _guard = guard();
    thread::scope(|scope| {
        for (number, lines) in lines.iter().enumerate() {
            let hart = Hart::new(number, physical.clone(), timer.clone(), lines.clone());
            let vcpu = Vcpu::new(&engine, hart).expect("memory");
            let (entry, args) = (loaded.entry, [0; 2]);
            let power = &*power;
            let begin = Begin::Reset(Reset { entry, args });
            scope.spawn(move || run_hart(vcpu, power, &Pause::default(), begin));
        }
    });
    assert_eq!(power.ended(), Some(End::Off(0)));
    let said = serial.0.lock().expect("nobody panics").clone();
    String::from_utf8(said).expect("text")
}

/// Ends the tests if it is not dropped in time.
fn guard() -> std::sync::mpsc::Sender<()> {
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        if receiver.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("a program does not end");
            process::exit(1);
        }
    });
    sender
}
