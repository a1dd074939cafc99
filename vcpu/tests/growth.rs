//! Memory does not grow with the number of threads that have been. Alone in its process, whose size
//! it measures.

mod common;

use vcpu::Backend;

use common::asm::*;
use common::world::World;

#[test]
fn threads_come_and_go_without_growth() {
    let world = World::new(Backend::X86_64);
    world.ram.load(0x1000, &[addi(A0, A0, 1), ECALL]);
    let mut sizes = Vec::new();
    for round in 0..300 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut vcpu = world.vcpu();
                    assert_eq!(world.call(&mut vcpu, 0x1000), 1);
                });
            }
        });
        if round % 100 == 99 {
            sizes.push(resident_pages());
        }
    }
    assert!(sizes[2] < sizes[0] + 256, "pages resident: {sizes:?}");
    assert_eq!(world.engine.domain().pending(), 0);
}

fn resident_pages() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}
