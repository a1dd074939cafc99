//! Which plugins a block was instrumented for.
//!
//! A set is the plugins that have ever subscribed to `tb_trans` since they were loaded or reset, in
//! the order in which they were loaded. One that unsubscribes stays in its set: it is asked about no
//! further block, but what it has put into the old ones stays there.

use std::collections::HashMap;

use tb_cache::SetId;

use crate::plugin::PluginId;

/// One plugin's part in a set: after a reset it is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Member {
    pub(crate) plugin: PluginId,
    /// How often what it had put into blocks was to be forgotten.
    pub(crate) generation: u32,
}

/// Ids of sets: a set that comes back has its old id.
pub(crate) struct Sets {
    ids: HashMap<Vec<Member>, SetId>,
    next: SetId,
}

impl Sets {
    /// The smaller ids are not the plugins'.
    const FIRST: SetId = SetId(16);

    pub(crate) fn new() -> Sets {
        Sets {
            ids: HashMap::new(),
            next: Sets::FIRST,
        }
    }

    /// The id of a set.
    pub(crate) fn id(&mut self, members: &[Member]) -> SetId {
        if members.is_empty() {
            return SetId::EMPTY;
        }
        if let Some(&id) = self.ids.get(members) {
            return id;
        }
        let id = self.next;
        self.next = SetId(id.0.wrapping_add(1).max(Sets::FIRST.0));
        self.ids.insert(members.to_vec(), id);
        id
    }

    /// A member that will never be in a set again; gives the sets that will never come back.
    pub(crate) fn forget(&mut self, member: Member) -> Vec<SetId> {
        let gone = self.ids.extract_if(|members, _| members.contains(&member));
        gone.map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(plugin: u64, generation: u32) -> Member {
        Member {
            plugin: PluginId(plugin),
            generation,
        }
    }

    #[test]
    fn a_set_that_comes_back_has_its_old_id() {
        let mut sets = Sets::new();
        let (a, b) = (member(1, 0), member(2, 0));
        let only_a = sets.id(&[a]);
        let both = sets.id(&[a, b]);
        assert_ne!(only_a, both);
        assert_eq!(sets.id(&[]), SetId::EMPTY);
        assert_eq!(sets.id(&[a]), only_a);
        assert_eq!(sets.forget(b), [both]);
        assert_eq!(sets.forget(b), []);
        assert_eq!(sets.id(&[a]), only_a);
        assert_ne!(sets.id(&[a, b]), both);
        assert_ne!(sets.id(&[member(1, 1)]), only_a, "a reset makes it another");
    }
}
