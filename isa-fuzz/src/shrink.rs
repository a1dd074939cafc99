//! Cuts a program down to the least that still shows a difference.
//!
//! Greedy: leave out ever smaller runs of chunks, then of items, then parts of items, as long as
//! the difference stays, whatever it becomes; and give registers simple values.

use std::time::{Duration, Instant};

use crate::program::{Item, Program};

/// The least program found within `budget` that `fails`.
pub fn shrink(program: &Program, budget: Duration, fails: impl Fn(&Program) -> bool) -> Program {
    let mut shrinker = Shrinker {
        best: program.clone(),
        deadline: Instant::now() + budget,
        fails,
    };
    while shrinker.pass() {}
    shrinker.best
}

struct Shrinker<F> {
    best: Program,
    deadline: Instant,
    fails: F,
}

impl<F: Fn(&Program) -> bool> Shrinker<F> {
    /// Keeps what `change` makes of the program if it is a change and still fails.
    fn attempt(&mut self, change: impl FnOnce(&mut Program) -> bool) -> bool {
        if Instant::now() > self.deadline {
            return false;
        }
        let mut candidate = self.best.clone();
        let good = change(&mut candidate) && (self.fails)(&candidate);
        if good {
            self.best = candidate;
        }
        good
    }

    /// One round of everything; whether anything helped.
    fn pass(&mut self) -> bool {
        let mut helped = self.attempt(|program| {
            let more = program.rounds > 1;
            program.rounds = 1;
            more
        });
        helped |= self.cut_runs(|program| &mut program.chunks);
        for chunk in 0..self.best.chunks.len() {
            helped |= self.cut_runs(move |program| &mut program.chunks[chunk]);
            for item in 0..self.best.chunks[chunk].len() {
                helped |= self.simplify_item(chunk, item);
            }
        }
        helped |= self.simplify_registers();
        helped
    }

    /// Leaves out elements of a list: halves, quarters, and so on down to single ones.
    fn cut_runs<T>(&mut self, list: impl Fn(&mut Program) -> &mut Vec<T>) -> bool {
        let mut helped = false;
        let mut run = list(&mut self.best).len().div_ceil(2);
        while run > 0 {
            let mut at = 0;
            while at < list(&mut self.best).len() {
                let cut = self.attempt(|program| {
                    let list = list(program);
                    let end = (at + run).min(list.len());
                    list.drain(at..end);
                    true
                });
                helped |= cut;
                if !cut {
                    at += run;
                }
            }
            run /= 2;
        }
        helped
    }

    fn simplify_item(&mut self, chunk: usize, item: usize) -> bool {
        let mut helped = false;
        // Straight-line code: fewer words.
        let mut at = 0;
        loop {
            let mut more = false;
            let cut = self.attempt(|program| match program.chunks[chunk].get_mut(item) {
                Some(Item::Code(words)) if at < words.len() && words.len() > 1 => {
                    more = true;
                    words.remove(at);
                    true
                }
                _ => false,
            });
            helped |= cut;
            if !more {
                break;
            }
            at += usize::from(!cut);
        }
        // Loops and calls: only their body, or a smaller body.
        helped |= self.attempt(|program| match program.chunks[chunk].get(item).cloned() {
            Some(Item::Loop { body, .. } | Item::Call { body, .. }) => {
                program.chunks[chunk].splice(item..=item, body);
                true
            }
            _ => false,
        });
        let mut at = 0;
        loop {
            let mut more = false;
            let cut = self.attempt(|program| match program.chunks[chunk].get_mut(item) {
                Some(Item::Loop { body, .. } | Item::Call { body, .. }) if at < body.len() => {
                    more = true;
                    body.remove(at);
                    true
                }
                _ => false,
            });
            helped |= cut;
            if !more {
                break;
            }
            at += usize::from(!cut);
        }
        helped
    }

    /// Sets registers and `fcsr` to 0 where that changes nothing.
    fn simplify_registers(&mut self) -> bool {
        let mut helped = self.attempt(|program| std::mem::take(&mut program.fcsr) != 0);
        for reg in 0..32 {
            helped |= self.attempt(|program| std::mem::take(&mut program.x[reg]) != 0);
            helped |= self.attempt(|program| std::mem::take(&mut program.f[reg]) != 0);
        }
        helped
    }
}
