//! A map from page to record whose entries are locked one (or a few) at a time.
//!
//! A `DashMap` in a normal build. Loom cannot follow that one, and its locks would hang the model,
//! so there it is a map under a mutex: as far as one entry goes, the same promises.

#[cfg(not(hartscope_loom))]
mod imp {
    use std::hash::{BuildHasherDefault, Hasher};

    use dashmap::DashMap;

    /// The map.
    pub(crate) struct Records<V>(DashMap<u64, V, BuildHasherDefault<PageHasher>>);

    impl<V> Records<V> {
        pub(crate) fn new() -> Records<V> {
            // As many shards as there may be translators at a time on a large host.
            Records(DashMap::with_hasher_and_shard_amount(
                BuildHasherDefault::default(),
                32,
            ))
        }

        /// Calls `f` on the record of `page`, with the record locked.
        pub(crate) fn with<R>(&self, page: u64, f: impl FnOnce(&mut V) -> R) -> Option<R> {
            self.0.get_mut(&page).map(|mut record| f(&mut record))
        }

        /// The same, on a new record if there is none.
        pub(crate) fn with_new<R>(
            &self,
            page: u64,
            new: impl FnOnce() -> V,
            f: impl FnOnce(&mut V) -> R,
        ) -> R {
            f(&mut self.0.entry(page).or_insert_with(new))
        }

        /// Takes a record out if `wanted` says so.
        pub(crate) fn remove_if(&self, page: u64, wanted: impl FnOnce(&V) -> bool) -> Option<V> {
            let removed = self.0.remove_if(&page, |_, record| wanted(record));
            removed.map(|(_, record)| record)
        }

        pub(crate) fn len(&self) -> usize {
            self.0.len()
        }

        /// The pages with records.
        pub(crate) fn pages(&self) -> Vec<u64> {
            self.0.iter().map(|record| *record.key()).collect()
        }
    }

    /// Page addresses are nearly dense: one multiplication spreads them.
    #[derive(Default)]
    pub(crate) struct PageHasher(u64);

    impl Hasher for PageHasher {
        fn finish(&self) -> u64 {
            self.0
        }

        fn write(&mut self, bytes: &[u8]) {
            for &byte in bytes {
                self.write_u64(u64::from(byte));
            }
        }

        fn write_u64(&mut self, n: u64) {
            let page = n / crate::pages::PAGE_SIZE;
            let mixed = (self.0 ^ page).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.0 = mixed ^ (mixed >> 29);
        }
    }
}

#[cfg(hartscope_loom)]
mod imp {
    use std::collections::BTreeMap;

    use epoch::sync::Mutex;

    /// The map.
    pub(crate) struct Records<V>(Mutex<BTreeMap<u64, V>>);

    impl<V> Records<V> {
        pub(crate) fn new() -> Records<V> {
            Records(Mutex::new(BTreeMap::new()))
        }

        /// Calls `f` on the record of `page`, with the record locked.
        pub(crate) fn with<R>(&self, page: u64, f: impl FnOnce(&mut V) -> R) -> Option<R> {
            self.0.lock().get_mut(&page).map(f)
        }

        /// The same, on a new record if there is none.
        pub(crate) fn with_new<R>(
            &self,
            page: u64,
            new: impl FnOnce() -> V,
            f: impl FnOnce(&mut V) -> R,
        ) -> R {
            f(self.0.lock().entry(page).or_insert_with(new))
        }

        /// Takes a record out if `wanted` says so.
        pub(crate) fn remove_if(&self, page: u64, wanted: impl FnOnce(&V) -> bool) -> Option<V> {
            let mut records = self.0.lock();
            if records.get(&page).is_some_and(wanted) {
                records.remove(&page)
            } else {
                None
            }
        }

        pub(crate) fn len(&self) -> usize {
            self.0.lock().len()
        }

        /// The pages with records.
        pub(crate) fn pages(&self) -> Vec<u64> {
            self.0.lock().keys().copied().collect()
        }
    }
}

pub(crate) use imp::Records;
