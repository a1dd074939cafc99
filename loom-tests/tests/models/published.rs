//! A vCPU that reads published snapshots while they are replaced and retired.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool as UntrackedBool, Ordering::Relaxed};

use epoch::Domain;
use epoch::sync::cell::UnsafeCell;
use epoch::sync::thread;
use plugin_rt::Published;

use crate::support::explore;

/// What a plugin owns: read by its callbacks, and by its completion callback for the last time.
struct Plugin {
    data: UnsafeCell<u32>,
    gone: UntrackedBool,
}

// SAFETY: the cell is what the model watches.
unsafe impl Sync for Plugin {}
// SAFETY: as above.
unsafe impl Send for Plugin {}

impl Plugin {
    fn callback(&self) {
        assert!(!self.gone.load(Relaxed), "a callback after the last one");
        // SAFETY: loom checks that nobody writes.
        self.data.with(|data| assert_eq!(unsafe { *data }, 1));
    }

    fn completion(&self) {
        // SAFETY: loom checks that nobody else reads or writes.
        self.data.with_mut(|data| unsafe { *data = 0 });
        assert!(!self.gone.swap(true, Relaxed), "two completions");
    }
}

/// Detaching: publish the set without the plugin, then retire the plugin.
#[test]
fn set_is_replaced() {
    explore(
        &["two callbacks", "one callback", "no callback"],
        |coverage| {
            let domain = Domain::new();
            let plugin = Arc::new(Plugin {
                data: UnsafeCell::new(1),
                gone: UntrackedBool::new(false),
            });
            let published = Arc::new(Published::new(Some(Arc::clone(&plugin))));
            let mut vcpu = domain.register();
            let mut set = published.reader();
            let runner = {
                let coverage = Arc::clone(coverage);
                thread::spawn(move || {
                    let mut callbacks = 0;
                    vcpu.online();
                    for _ in 0..2 {
                        set.refresh();
                        if let Some(plugin) = &*set {
                            plugin.callback();
                            callbacks += 1;
                        }
                        vcpu.quiesce();
                    }
                    vcpu.offline();
                    coverage.reached(match callbacks {
                        0 => "no callback",
                        1 => "one callback",
                        _ => "two callbacks",
                    });
                })
            };
            published.publish(None);
            let detached = Arc::clone(&plugin);
            domain.retire(Box::new(move || detached.completion()));
            runner.join().unwrap();
            assert!(plugin.gone.load(Relaxed), "the completion was forgotten");
        },
    );
}
