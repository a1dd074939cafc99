//! Drivers, honest ones and others, against the devices.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use translate::ops::Size;
use vm_memory::{Bytes, GuestAddress};

use super::block::{Block, Error};
use super::rng::Rng;
use super::{Bell, Device, Transport};
use crate::bus::Device as _;
use crate::map;
use crate::ram::Ram;
use crate::wire::Wire;

const PAGES: u64 = 64;
/// Where the driver puts things.
const TABLE: u64 = map::RAM;
const AVAILABLE: u64 = map::RAM + 0x1000;
const USED: u64 = map::RAM + 0x2000;
const HEADER: u64 = map::RAM + 0x3000;
const STATUS: u64 = map::RAM + 0x3800;
const DATA: u64 = map::RAM + 0x4000;
/// Entries of the queue.
const ENTRIES: u16 = 8;

const WRITE: u16 = 2;
const NEXT: u16 = 1;
const INDIRECT: u16 = 4;

/// A line that can be waited for.
#[derive(Default)]
struct Line {
    level: Mutex<bool>,
    changed: Condvar,
}

impl Wire for Line {
    fn set(&self, level: bool) {
        *self.level.lock().expect("no panic holds it") = level;
        self.changed.notify_all();
    }
}

impl Line {
    fn wait(&self) {
        let level = self.level.lock().expect("no panic holds it");
        let minute = Duration::from_secs(60);
        let waited = self
            .changed
            .wait_timeout_while(level, minute, |level| !*level);
        let (level, _) = waited.expect("no panic holds it");
        assert!(*level, "the device does not answer");
    }
}

/// A driver of one queue.
struct Driver {
    ram: Arc<Ram>,
    line: Arc<Line>,
    transport: Transport,
    /// How many buffers were made available.
    available: u16,
}

impl Driver {
    fn new(device: Box<dyn Device>) -> Driver {
        let ram = Ram::new(map::RAM, PAGES * 4096).expect("the host has that much");
        let line = Arc::new(Line::default());
        let wire = Arc::clone(&line) as Arc<dyn Wire>;
        let transport = Transport::new(device, Arc::clone(&ram), wire, Bell::default());
        Driver {
            ram,
            line,
            transport: transport.expect("the host has a thread"),
            available: 0,
        }
    }

    fn write(&self, register: u64, value: u64) {
        self.transport.write(register, Size::B4, value);
    }

    fn read(&self, register: u64) -> u64 {
        self.transport.read(register, Size::B4)
    }

    fn poke<T: vm_memory::ByteValued>(&self, at: u64, value: T) {
        let written = self.ram.device_view().write_obj(value, GuestAddress(at));
        written.expect("it is memory");
    }

    fn peek<T: vm_memory::ByteValued>(&self, at: u64) -> T {
        let value = self.ram.device_view().read_obj(GuestAddress(at));
        value.expect("it is memory")
    }

    /// Resets the device and brings it up, with the queue at addresses of our choice.
    fn start_at(&mut self, table: u64, available: u64, used: u64) {
        self.write(0x70, 0);
        assert_eq!(self.read(0x70), 0);
        for at in (map::RAM..DATA).step_by(8) {
            self.poke(at, 0_u64);
        }
        self.available = 0;
        self.write(0x70, 3);
        self.write(0x24, 1);
        self.write(0x20, 1);
        self.write(0x24, 0);
        self.write(0x20, 0);
        self.write(0x70, 0xb);
        assert_eq!(self.read(0x70), 0xb, "features are agreed");
        self.write(0x30, 0);
        self.write(0x38, u64::from(ENTRIES));
        for (register, address) in [(0x80, table), (0x90, available), (0xa0, used)] {
            self.write(register, address & 0xffff_ffff);
            self.write(register + 4, address >> 32);
        }
        self.write(0x44, 1);
        self.write(0x70, 0xf);
    }

    fn start(&mut self) {
        self.start_at(TABLE, AVAILABLE, USED);
    }

    fn describe(&self, table: u64, index: u16, address: u64, len: u32, flags: u16, next: u16) {
        let at = table + 16 * u64::from(index);
        self.poke(at, address);
        self.poke(at + 8, len);
        self.poke(at + 12, flags);
        self.poke(at + 14, next);
    }

    /// Offers the chain that begins at `head`, and waits for what comes of it.
    fn offer(&mut self, head: u16) {
        self.poke(
            AVAILABLE + 4 + 2 * u64::from(self.available % ENTRIES),
            head,
        );
        self.available = self.available.wrapping_add(1);
        self.poke(AVAILABLE + 2, self.available);
        self.write(0x50, 0);
        self.line.wait();
        self.write(0x64, self.read(0x60));
    }

    fn needs_reset(&self) -> bool {
        self.read(0x70) & 0x40 != 0
    }

    /// A request to a disk; gives its status.
    fn request(&mut self, kind: u32, sector: u64, len: u32, data_flags: u16) -> u8 {
        self.poke(HEADER, u64::from(kind));
        self.poke(HEADER + 8, sector);
        self.poke(STATUS, 0xff_u8);
        self.describe(TABLE, 0, HEADER, 16, NEXT, 1);
        self.describe(TABLE, 1, DATA, len, NEXT | data_flags, 2);
        self.describe(TABLE, 2, STATUS, 1, WRITE, 0);
        self.offer(0);
        self.peek(STATUS)
    }
}

/// An image of 16 sectors; sector n is full of n.
fn image() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
    for sector in 0..16 {
        file.write_all(&[sector; 512]).expect("it can be written");
    }
    file
}

fn disk(file: &tempfile::NamedTempFile) -> Driver {
    let block = Block::open(file.path(), false).expect("it is an image");
    let mut driver = Driver::new(Box::new(block));
    driver.start();
    driver
}

#[test]
fn a_disk_reads_writes_flushes_and_tells_its_name() {
    let file = image();
    let mut driver = disk(&file);
    assert_eq!(driver.read(0x100), 16, "sectors");
    assert_eq!(driver.request(0, 3, 1024, WRITE), 0);
    assert_eq!(driver.peek::<u8>(DATA), 3);
    assert_eq!(driver.peek::<u8>(DATA + 1023), 4);
    assert_eq!(driver.peek::<u16>(USED + 2), 1, "one buffer was used");
    assert_eq!(driver.peek::<u32>(USED + 8), 1025, "with the status");
    driver.poke(DATA, 0x7777_7777_7777_7777_u64);
    assert_eq!(driver.request(1, 5, 512, 0), 0);
    assert_eq!(driver.request(4, 0, 0, 0), 0);
    let contents = std::fs::read(file.path()).expect("it is there");
    assert_eq!(
        contents[5 * 512..5 * 512 + 9],
        [0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 3]
    );
    assert_eq!(driver.request(8, 0, 20, WRITE), 0);
    let name = file
        .path()
        .file_name()
        .expect("it has one")
        .as_encoded_bytes();
    assert_eq!(driver.peek::<u8>(DATA), name[0]);
    assert_eq!(driver.request(99, 0, 512, 0), 2, "unsupported");
}

#[test]
fn requests_beyond_the_disk_are_errors_and_change_nothing() {
    let file = image();
    let mut driver = disk(&file);
    for (sector, len) in [
        (16, 512),
        (15, 1024),
        (u64::MAX, 512),
        (1 << 55, 512),
        (0, 100),
    ] {
        for (kind, flags) in [(0, WRITE), (1, 0)] {
            assert_eq!(
                driver.request(kind, sector, len, flags),
                1,
                "{sector} {len}"
            );
        }
    }
    assert!(!driver.needs_reset());
    let contents = std::fs::read(file.path()).expect("it is there");
    assert!(contents == std::fs::read(image().path()).expect("it is there"));
}

#[test]
fn images_are_checked_and_locked() {
    let file = image();
    let _first = Block::open(file.path(), false).expect("it is an image");
    assert!(matches!(
        Block::open(file.path(), false),
        Err(Error::InUse(_))
    ));
    assert!(matches!(
        Block::open(file.path(), true),
        Err(Error::InUse(_))
    ));
    let odd = tempfile::NamedTempFile::new().expect("a file can be made");
    assert!(matches!(
        Block::open(odd.path(), false),
        Err(Error::Size { .. })
    ));
    let none = Block::open("/nonexistent".as_ref(), true);
    assert!(matches!(none, Err(Error::Open { .. })));
}

#[test]
fn read_only_disks_are_not_written() {
    let file = image();
    let block = Block::open(file.path(), true).expect("it is an image");
    let mut driver = Driver::new(Box::new(block));
    driver.start();
    assert_eq!(driver.read(0x10) & 1 << 5, 1 << 5, "it says so");
    assert_eq!(driver.request(1, 0, 512, 0), 1);
    assert_eq!(driver.request(0, 0, 512, WRITE), 0);
}

#[test]
fn random_numbers_fill_the_buffer() {
    let mut driver = Driver::new(Box::new(Rng));
    driver.start();
    driver.describe(TABLE, 0, DATA, 64, WRITE, 0);
    driver.offer(0);
    assert_eq!(driver.peek::<u32>(USED + 8), 64);
    let words: Vec<u64> = (0..8).map(|n| driver.peek(DATA + 8 * n)).collect();
    assert!(words.iter().any(|&word| word != 0));
    assert_eq!(driver.peek::<u64>(DATA + 64), 0, "and no more");
}

#[test]
fn a_driver_that_breaks_the_rules_stops_the_device_until_it_is_reset() {
    let file = image();
    let mut driver = disk(&file);
    let outside = map::RAM + PAGES * 4096 - 8;
    type Breach = fn(&mut Driver, u64);
    let breaches: [(&str, Breach); 11] = [
        ("out of memory", |driver, outside| {
            driver.describe(TABLE, 0, outside, 16, 0, 0)
        }),
        ("below memory", |driver, _| {
            driver.describe(TABLE, 0, 0x1000, 16, 0, 0)
        }),
        ("around the end", |driver, _| {
            driver.describe(TABLE, 0, u64::MAX - 4, 16, 0, 0)
        }),
        ("a loop", |driver, _| {
            driver.describe(TABLE, 0, HEADER, 16, NEXT, 1);
            driver.describe(TABLE, 1, DATA, 1, NEXT | WRITE, 1);
        }),
        ("out of the table", |driver, _| {
            driver.describe(TABLE, 0, HEADER, 16, NEXT, 1);
            driver.describe(TABLE, 1, DATA, 1, NEXT | WRITE, 9);
        }),
        (
            "out of memory, in what is not looked at",
            |driver, outside| {
                driver.poke(HEADER, 99_u64);
                driver.describe(TABLE, 0, HEADER, 16, NEXT, 1);
                driver.describe(TABLE, 1, outside, 512, NEXT, 2);
                driver.describe(TABLE, 2, STATUS, 1, WRITE, 0);
            },
        ),
        ("no header", |driver, _| {
            driver.describe(TABLE, 0, DATA, 15, 0, 0)
        }),
        ("no status", |driver, _| {
            driver.describe(TABLE, 0, DATA, 16, 0, 0)
        }),
        ("written before read", |driver, _| {
            driver.describe(TABLE, 0, DATA, 16, NEXT | WRITE, 1);
            driver.describe(TABLE, 1, DATA, 16, 0, 0);
        }),
        ("tables in tables", |driver, _| {
            driver.describe(TABLE, 0, DATA, 32, INDIRECT, 0);
            driver.describe(DATA, 0, DATA, 32, INDIRECT, 0);
        }),
        ("more than there are", |driver, _| {
            driver.available += ENTRIES
        }),
    ];
    for (name, breach) in breaches {
        driver.start();
        breach(&mut driver, outside);
        driver.offer(0);
        assert!(driver.needs_reset(), "{name}");
        driver.start();
        assert_eq!(driver.request(0, 1, 512, WRITE), 0, "after {name}");
    }
}

#[test]
fn queues_outside_memory_are_refused() {
    let file = image();
    let mut driver = disk(&file);
    let end = map::RAM + PAGES * 4096;
    for (table, available, used) in [
        (end - 16, AVAILABLE, USED),
        (TABLE, end - 8, USED),
        (TABLE, AVAILABLE, end - 8),
        (0x1000, AVAILABLE, USED),
        (!0xf, AVAILABLE, USED),
        (TABLE, !1, USED),
    ] {
        driver.start_at(table, available, used);
        assert!(driver.needs_reset(), "{table:#x} {available:#x} {used:#x}");
        assert_eq!(driver.read(0x44), 0);
    }
    driver.start();
    assert_eq!(driver.request(0, 1, 512, WRITE), 0);
}

/// Numbers that look random.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        // xorshift
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// An address, a length, a flag: often one that makes some sense.
    fn value(&mut self) -> u64 {
        let noise = self.next();
        match noise % 4 {
            0 => map::RAM + noise / 4 % (PAGES * 4096),
            1 => noise >> 8 & 0xff,
            2 => noise >> (noise >> 2 & 63),
            _ => noise,
        }
    }
}

#[test]
fn noise_in_registers_and_rings_is_survived() {
    let file = image();
    let devices: [Box<dyn Device>; 2] = [
        Box::new(Block::open(file.path(), false).expect("it is an image")),
        Box::new(Rng),
    ];
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for device in devices {
        let mut driver = Driver::new(device);
        for round in 0..150 {
            driver.start();
            for _ in 0..64 {
                driver.poke(map::RAM + noise.next() % (PAGES * 4096 - 8), noise.value());
                let (index, next) = (noise.next() as u16 % ENTRIES, noise.next() as u16 % 9);
                let (address, len) = (noise.value(), noise.value() as u32);
                driver.describe(TABLE, index, address, len, noise.next() as u16 & 7, next);
            }
            for entry in 0..u64::from(ENTRIES) {
                driver.poke(
                    AVAILABLE + 4 + 2 * entry,
                    noise.next() as u16 % (ENTRIES + 1),
                );
            }
            driver.poke(AVAILABLE + 2, noise.next() as u16 % (ENTRIES + 2));
            driver.write(0x50, noise.next() & 1);
            for _ in 0..noise.next() % 8 * (round & 1) {
                let size = [Size::B1, Size::B2, Size::B4, Size::B8][noise.next() as usize % 4];
                let register = noise.next() % 0x110;
                driver.transport.write(register, size, noise.value());
                driver.transport.read(register, size);
            }
        }
        // And it still works.
        driver.start();
        driver.describe(TABLE, 0, HEADER, 16, NEXT, 1);
        driver.describe(TABLE, 1, DATA, 512, NEXT | WRITE, 2);
        driver.describe(TABLE, 2, STATUS, 1, WRITE, 0);
        driver.offer(0);
        assert!(!driver.needs_reset());
        assert_eq!(driver.peek::<u16>(USED + 2), 1);
    }
}
