//! Participants that come and go while others retire.

use std::sync::Arc;

use epoch::Domain;
use epoch::sync::thread;

use crate::support::{Shared, explore};

/// Two threads join while the main thread retires.
#[test]
fn hot_add() {
    explore(&["old read", "new read"], |coverage| {
        let (domain, shared) = (Domain::new(), Shared::new());
        let threads = [0, 1].map(|_| {
            let (domain, shared, coverage) = (
                Arc::clone(&domain),
                Arc::clone(&shared),
                Arc::clone(coverage),
            );
            thread::spawn(move || {
                let mut vcpu = domain.register();
                vcpu.online();
                coverage.either(shared.read(), "old read", "new read");
            })
        });
        domain.retire(shared.replace());
        for thread in threads {
            thread.join().unwrap();
        }
        shared.assert_freed(&domain);
    });
}
