//! The list of guest programs.

/// What a program is mostly made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Integers, memory, control flow.
    Integer,
    /// Floating point.
    Float,
    /// Several threads.
    Threads,
}

/// A guest program, with the number of threads to run it with.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The source is `guests/NAME.c`.
    pub name: &'static str,
    /// What it is mostly made of.
    pub kind: Kind,
    /// Its second argument, if it has one.
    pub threads: Option<u32>,
}

impl Program {
    /// The name, with the number of threads if there may be several.
    pub fn label(&self) -> String {
        match self.threads {
            None => self.name.to_owned(),
            Some(threads) => format!("{}-{threads}", self.name),
        }
    }

    /// The command line after the program's own name.
    pub fn args(&self, scale: u32) -> Vec<String> {
        let mut args = vec![scale.to_string()];
        args.extend(self.threads.map(|threads| threads.to_string()));
        args
    }

    /// This program with another number of threads, if it is a threaded one.
    pub fn with_threads(self, threads: u32) -> Program {
        Program {
            threads: self.threads.map(|_| threads),
            ..self
        }
    }
}

const SINGLE: [(&str, Kind); 21] = [
    ("aes", Kind::Integer),
    ("alloc", Kind::Integer),
    ("bigint", Kind::Integer),
    ("bits", Kind::Integer),
    ("hash", Kind::Integer),
    ("interp", Kind::Integer),
    ("json", Kind::Integer),
    ("lz", Kind::Integer),
    ("pointers", Kind::Integer),
    ("primes", Kind::Integer),
    ("recurse", Kind::Integer),
    ("sha512", Kind::Integer),
    ("shapes", Kind::Integer),
    ("sort", Kind::Integer),
    ("stream", Kind::Integer),
    ("strings", Kind::Integer),
    ("unaligned", Kind::Integer),
    ("linalg", Kind::Float),
    ("mandel", Kind::Float),
    ("nbody", Kind::Float),
    ("rays", Kind::Float),
];

const THREADED: [&str; 3] = ["atomics", "locks", "parallel"];

/// Every measured program, the threaded ones with 1 and with 2 threads.
pub fn all() -> Vec<Program> {
    let single = SINGLE.iter().map(|&(name, kind)| Program {
        name,
        kind,
        threads: None,
    });
    let threaded = THREADED.iter().flat_map(|&name| {
        [1, 2].map(|threads| Program {
            name,
            kind: Kind::Threads,
            threads: Some(threads),
        })
    });
    single.chain(threaded).collect()
}
