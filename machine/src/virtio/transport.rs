//! The registers through which a driver talks to a device (virtio over MMIO, version 2).

use std::io;
use std::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};

use translate::ops::Size;
use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET,
    VIRTIO_F_VERSION_1,
};
use virtio_bindings::virtio_mmio::*;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{Queue, QueueOwnedT, QueueT};

use crate::bus;
use crate::ram::Ram;
use crate::wire::Wire;

use super::queue::{Buffer, give_back};
use super::{Broken, Device, Served};

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VERSION: u32 = 2;
const VENDOR: u32 = u32::from_le_bytes(*b"HSCP");

/// What every device of ours can do.
const FEATURES: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_INDIRECT_DESC | 1 << VIRTIO_RING_F_EVENT_IDX;

/// Wakes a device's thread.
#[derive(Clone, Default)]
pub struct Bell(Arc<Ringing>);

#[derive(Default)]
struct Ringing {
    /// A bit for each queue that is to be looked at, and [`QUIT`].
    calls: AtomicU32,
    /// Who is to look.
    thread: OnceLock<Thread>,
}

/// The device goes.
const QUIT: u32 = 1 << 31;

impl Bell {
    /// Has the device look at a queue.
    pub fn ring(&self, queue: usize) {
        if queue < 31 {
            self.call(1 << queue);
        }
    }

    fn call(&self, bits: u32) {
        // Pairs with the swap in `answer`: what was done before is seen by who answers.
        self.0.calls.fetch_or(bits, Release);
        if let Some(thread) = self.0.thread.get() {
            thread.unpark();
        }
    }

    /// Waits for calls, and takes them.
    fn answer(&self) -> u32 {
        loop {
            // Pairs with `call`.
            let calls = self.0.calls.swap(0, Acquire);
            if calls != 0 {
                return calls;
            }
            // Returns at once if somebody has called since.
            thread::park();
        }
    }
}

/// The guest's side of the interrupt.
struct Interrupt {
    status: Mutex<u32>,
    wire: Arc<dyn Wire>,
}

impl Interrupt {
    /// Changes what is pending. The line changes under the same lock, so that it follows the status.
    fn change(&self, change: impl FnOnce(u32) -> u32) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        *status = change(*status);
        self.wire.set(*status != 0);
    }

    fn status(&self) -> u32 {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the driver has set up.
struct Setup {
    device: Box<dyn Device>,
    queues: Vec<Queue>,
    device_features_page: u32,
    driver_features_page: u32,
    driver_features: u64,
    queue: u32,
}

/// What harts and the device's thread share.
struct Shared {
    ram: Arc<Ram>,
    setup: Mutex<Setup>,
    /// The device's status register; changes under the lock of the setup.
    status: AtomicU32,
    interrupt: Interrupt,
    bell: Bell,
}

/// A device with its registers and its thread.
pub struct Transport {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Transport {
    /// Connects a device. `bell` is the one that the device itself rings, if it does.
    ///
    /// # Errors
    ///
    /// If the host gives no thread.
    pub fn new(
        device: Box<dyn Device>,
        ram: Arc<Ram>,
        wire: Arc<dyn Wire>,
        bell: Bell,
    ) -> io::Result<Transport> {
        let queue = |&size: &u16| Queue::new(size).map_err(io::Error::other);
        let queues = device
            .queues()
            .iter()
            .map(queue)
            .collect::<io::Result<_>>()?;
        let shared = Arc::new(Shared {
            ram,
            setup: Mutex::new(Setup {
                device,
                queues,
                device_features_page: 0,
                driver_features_page: 0,
                driver_features: 0,
                queue: 0,
            }),
            status: AtomicU32::new(0),
            interrupt: Interrupt {
                status: Mutex::new(0),
                wire,
            },
            bell,
        });
        let served = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("virtio".into())
            .spawn(move || served.work())?;
        // Whoever rings before this is heard all the same: the thread looks before it waits, and the
        // next line wakes it.
        let _ = shared.bell.0.thread.set(thread.thread().clone());
        thread.thread().unpark();
        Ok(Transport {
            shared,
            thread: Some(thread),
        })
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.shared.bell.call(QUIT);
        if let Some(thread) = self.thread.take() {
            // It has told of its panic.
            let _ = thread.join();
        }
    }
}

impl Setup {
    fn features(&self) -> u64 {
        FEATURES | self.device.features()
    }

    fn selected(&mut self) -> Option<&mut Queue> {
        self.queues.get_mut(self.queue as usize)
    }

    /// The selected queue, while it may be set up.
    fn idle(&mut self) -> Option<&mut Queue> {
        self.selected().filter(|queue| !queue.ready())
    }

    fn reset(&mut self) {
        for queue in &mut self.queues {
            queue.reset();
        }
        self.driver_features = 0;
        self.device_features_page = 0;
        self.driver_features_page = 0;
        self.queue = 0;
        self.device.negotiated(0);
    }

    /// The driver is done with features: whether the device agrees.
    fn negotiate(&mut self) -> bool {
        let wanted = self.driver_features;
        let agreed = wanted & !self.features() == 0 && wanted & 1 << VIRTIO_F_VERSION_1 != 0;
        if agreed {
            for queue in &mut self.queues {
                queue.set_event_idx(wanted & 1 << VIRTIO_RING_F_EVENT_IDX != 0);
            }
            self.device.negotiated(wanted);
        }
        agreed
    }

    fn write(&mut self, register: u32, value: u32, ram: &Ram) -> Result<(), Broken> {
        let half = |page: u32, old: u64| match page {
            0 => old & !0xffff_ffff | u64::from(value),
            1 => old & 0xffff_ffff | u64::from(value) << 32,
            _ => old,
        };
        match register {
            VIRTIO_MMIO_DEVICE_FEATURES_SEL => self.device_features_page = value,
            VIRTIO_MMIO_DRIVER_FEATURES_SEL => self.driver_features_page = value,
            VIRTIO_MMIO_DRIVER_FEATURES => {
                self.driver_features = half(self.driver_features_page, self.driver_features);
            }
            VIRTIO_MMIO_QUEUE_SEL => self.queue = value,
            VIRTIO_MMIO_QUEUE_READY if value & 1 == 0 => {
                if let Some(queue) = self.selected() {
                    queue.set_ready(false);
                }
            }
            _ => {
                let Some(queue) = self.idle() else {
                    return Ok(());
                };
                match register {
                    // Out of range, the queue keeps its size.
                    VIRTIO_MMIO_QUEUE_NUM => queue.set_size(u16::try_from(value).unwrap_or(0)),
                    VIRTIO_MMIO_QUEUE_DESC_LOW => queue.set_desc_table_address(Some(value), None),
                    VIRTIO_MMIO_QUEUE_DESC_HIGH => queue.set_desc_table_address(None, Some(value)),
                    VIRTIO_MMIO_QUEUE_AVAIL_LOW => queue.set_avail_ring_address(Some(value), None),
                    VIRTIO_MMIO_QUEUE_AVAIL_HIGH => queue.set_avail_ring_address(None, Some(value)),
                    VIRTIO_MMIO_QUEUE_USED_LOW => queue.set_used_ring_address(Some(value), None),
                    VIRTIO_MMIO_QUEUE_USED_HIGH => queue.set_used_ring_address(None, Some(value)),
                    VIRTIO_MMIO_QUEUE_READY => {
                        queue.set_ready(true);
                        if !queue.is_valid(ram.device_view()) {
                            queue.set_ready(false);
                            return Err(Broken("a queue lies outside memory"));
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Serves one buffer. `None` if there is none, or none that can be served yet; else whether the
    /// guest wants to hear of it.
    fn serve(&mut self, number: usize, ram: &Ram) -> Result<Option<bool>, Broken> {
        let Some(queue) = self.queues.get_mut(number).filter(|queue| queue.ready()) else {
            return Ok(None);
        };
        let memory = ram.device_view();
        let ring = |_| Broken("the ring of used buffers makes no sense");
        let Some(mut buffer) = Buffer::next(queue, memory)? else {
            // From here on a notification is wanted; what came before must be looked at.
            let more = queue.enable_notification(memory).map_err(ring)?;
            return Ok(more.then_some(false));
        };
        let head = buffer.head();
        match self.device.serve(number, &mut buffer)? {
            Served::Done(written) => give_back(queue, memory, head, written).map(Some),
            Served::Later => {
                queue.go_to_previous_position();
                Ok(None)
            }
        }
    }
}

impl Shared {
    fn setup(&self) -> MutexGuard<'_, Setup> {
        self.setup.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device's thread.
    fn work(&self) {
        loop {
            let calls = self.bell.answer();
            if calls & QUIT != 0 {
                return;
            }
            for queue in (0..31).filter(|queue| calls >> queue & 1 != 0) {
                self.serve(queue);
            }
        }
    }

    /// Serves a queue until it is empty. The lock is free between buffers.
    fn serve(&self, queue: usize) {
        loop {
            let mut setup = self.setup();
            if !self.is_running() {
                return;
            }
            match setup.serve(queue, &self.ram) {
                Ok(None) => return,
                Ok(Some(false)) => {}
                Ok(Some(true)) => self
                    .interrupt
                    .change(|status| status | VIRTIO_MMIO_INT_VRING),
                Err(_) => return self.stop(),
            }
        }
    }

    fn is_running(&self) -> bool {
        let status = self.status.load(Relaxed);
        status & VIRTIO_CONFIG_S_DRIVER_OK != 0 && status & VIRTIO_CONFIG_S_NEEDS_RESET == 0
    }

    /// The driver has broken the rules: nothing goes on until it resets the device.
    fn stop(&self) {
        self.status.fetch_or(VIRTIO_CONFIG_S_NEEDS_RESET, AcqRel);
        self.interrupt
            .change(|status| status | VIRTIO_MMIO_INT_CONFIG);
    }

    fn set_status(&self, value: u32) {
        let mut setup = self.setup();
        if value == 0 {
            setup.reset();
            self.status.store(0, Relaxed);
            self.interrupt.change(|_| 0);
            return;
        }
        let old = self.status.load(Relaxed);
        // What the device has said stays.
        let mut new = value & 0xff | old & VIRTIO_CONFIG_S_NEEDS_RESET;
        if new & !old & VIRTIO_CONFIG_S_FEATURES_OK != 0 && !setup.negotiate() {
            new &= !VIRTIO_CONFIG_S_FEATURES_OK;
        }
        self.status.store(new, Relaxed);
        drop(setup);
        if new & !old & VIRTIO_CONFIG_S_DRIVER_OK != 0 {
            // There may be buffers already.
            self.bell.call(!QUIT);
        }
    }
}

impl bus::Device for Transport {
    fn read(&self, offset: u64, size: Size) -> u64 {
        let register = offset as u32;
        if register >= VIRTIO_MMIO_CONFIG {
            let config = self.shared.setup().device.config();
            let byte = |n: u64| {
                let at = (offset - u64::from(VIRTIO_MMIO_CONFIG) + n) as usize;
                u64::from(config.get(at).copied().unwrap_or(0)) << (8 * n)
            };
            return (0..size.bytes()).map(byte).sum();
        }
        if size != Size::B4 {
            return 0;
        }
        let value = match register {
            VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            VIRTIO_MMIO_VERSION => VERSION,
            VIRTIO_MMIO_VENDOR_ID => VENDOR,
            VIRTIO_MMIO_INTERRUPT_STATUS => self.shared.interrupt.status(),
            VIRTIO_MMIO_STATUS => self.shared.status.load(Relaxed),
            _ => {
                let mut setup = self.shared.setup();
                match register {
                    VIRTIO_MMIO_DEVICE_ID => setup.device.kind(),
                    VIRTIO_MMIO_DEVICE_FEATURES => match setup.device_features_page {
                        0 => setup.features() as u32,
                        1 => (setup.features() >> 32) as u32,
                        _ => 0,
                    },
                    VIRTIO_MMIO_QUEUE_NUM_MAX => setup
                        .selected()
                        .map_or(0, |queue| u32::from(queue.max_size())),
                    VIRTIO_MMIO_QUEUE_READY => {
                        setup.selected().map_or(0, |queue| u32::from(queue.ready()))
                    }
                    // There is no shared memory: its length is -1.
                    0xb0 | 0xb4 => u32::MAX,
                    _ => 0,
                }
            }
        };
        u64::from(value)
    }

    fn write(&self, offset: u64, size: Size, value: u64) {
        let shared = &self.shared;
        let (register, value) = (offset as u32, value as u32);
        if size != Size::B4 || register >= VIRTIO_MMIO_CONFIG {
            return;
        }
        match register {
            VIRTIO_MMIO_QUEUE_NOTIFY => shared.bell.ring(value as usize),
            VIRTIO_MMIO_INTERRUPT_ACK => shared.interrupt.change(|status| status & !value),
            VIRTIO_MMIO_STATUS => shared.set_status(value),
            _ => {
                let mut setup = shared.setup();
                if setup.write(register, value, &shared.ram).is_err() {
                    shared.stop();
                }
            }
        }
    }
}

/// A transport without a device.
pub struct Empty;

impl bus::Device for Empty {
    fn read(&self, offset: u64, _size: Size) -> u64 {
        match offset as u32 {
            VIRTIO_MMIO_MAGIC_VALUE => u64::from(MAGIC),
            VIRTIO_MMIO_VERSION => u64::from(VERSION),
            _ => 0,
        }
    }

    fn write(&self, _offset: u64, _size: Size, _value: u64) {}
}
