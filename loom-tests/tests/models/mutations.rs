//! Checks the claims of `epoch::ordering!` and `epoch::step!`: each ordering that the sources call
//! necessary, weakened, and each such step, left out, makes the models it names fail.
//!
//! The claims are read from the sources, so none can be left out. Not claims, because loom cannot
//! follow them, are the orderings of words in the code memory ([`EXCEPTIONS`]). A mutation is applied by an
//! environment variable in a child process, which runs this same executable with the one model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use epoch::sync::mutate::VARIABLE;

/// The crates that are written against `epoch::sync`.
const CRATES: [&str; 4] = ["epoch", "scoreboard", "tb-cache", "plugin-rt"];

/// Files whose orderings are not claims, and why.
const EXCEPTIONS: [(&str, &str); 3] = [
    ("epoch/src/sync/mutate.rs", "applies the mutations"),
    ("tb-cache/src/arena.rs", "words of the code memory"),
    // Instruction fetch is the reader.
    ("tb-cache/src/chain.rs", "words of the code memory"),
];

/// Orderings that need a claim.
const STRONG: [&str; 4] = ["Acquire", "Release", "AcqRel", "SeqCst"];

/// The words between which a claim about an ordering stands.
const OPEN: &str = "ordering!(";
const CLOSE: char = ')';

/// What a claim about a step begins with. It names mutation and models first.
const STEP: &str = "step!(";

/// Mutation → models that must fail.
type Claims = BTreeMap<String, Vec<String>>;

#[test]
fn every_claim_is_necessary() {
    let claims = claims();
    assert!(!claims.is_empty(), "no claim was found");
    let models = models();
    let mut sound = BTreeSet::new();
    let mut survivors = Vec::new();
    let pairs = claims
        .iter()
        .flat_map(|(mutation, names)| names.iter().map(move |name| (mutation, name)));
    for (mutation, name) in pairs {
        let suffix = format!("::{name}");
        let model = models
            .iter()
            .find(|model| model.ends_with(&suffix))
            .unwrap_or_else(|| panic!("{mutation} names a model that does not exist: {name}"));
        if sound.insert(model) {
            assert!(passes(model, ""), "{model} fails without a mutation");
        }
        if passes(model, mutation) {
            println!("{mutation}: SURVIVES {model}");
            survivors.push((mutation, name));
        } else {
            println!("{mutation}: killed by {model}");
        }
    }
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}

#[test]
fn every_strong_ordering_carries_a_claim() {
    for (path, code) in sources() {
        let bare = without_claims(&code)
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|token| STRONG.contains(&token));
        let excepted = EXCEPTIONS.iter().any(|(file, _)| path.ends_with(file));
        assert_eq!(bare, excepted, "{}: see EXCEPTIONS", path.display());
    }
}

/// `docs/models.md` has a row for each model, which names the mutations that it notices.
#[test]
fn the_table_is_complete() {
    let mut expected: BTreeMap<String, BTreeSet<String>> = models()
        .into_iter()
        .filter(|model| !model.starts_with("mutations::"))
        .map(|model| (model, BTreeSet::new()))
        .collect();
    for (mutation, names) in claims() {
        for (model, mutations) in &mut expected {
            if names
                .iter()
                .any(|name| model.ends_with(&format!("::{name}")))
            {
                mutations.insert(mutation.clone());
            }
        }
    }
    let text = fs::read_to_string(workspace().join("docs/models.md")).expect("it is there");
    let quoted = |cell: &str| -> Vec<String> {
        let quoted = cell.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    };
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let table: BTreeMap<String, BTreeSet<String>> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            let [model, _, mutations, _, _] = cells[..] else {
                panic!("five columns: {row}");
            };
            (
                quoted(model).concat(),
                quoted(mutations).into_iter().collect(),
            )
        })
        .collect();
    assert_eq!(table, expected);
}

fn passes(model: &str, mutation: &str) -> bool {
    let output = run(&[model, "--exact", "--test-threads", "1"], mutation);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("running 1 test"), "{model} did not run");
    output.status.success()
}

fn run(arguments: &[&str], mutation: &str) -> Output {
    let executable = env::current_exe().expect("a running test has an executable");
    Command::new(executable)
        .args(arguments)
        .env(VARIABLE, mutation)
        .output()
        .expect("the test executable can be run")
}

/// The paths of all models in this executable.
fn models() -> Vec<String> {
    let output = run(&["--list", "--format", "terse"], "");
    let text = String::from_utf8(output.stdout).expect("test names are text");
    text.lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect()
}

fn claims() -> Claims {
    let mut claims = Claims::new();
    for (path, code) in sources() {
        let orderings = code.split(OPEN).skip(1);
        let orderings = orderings.filter_map(|claim| claim.split(CLOSE).next());
        let steps = code.split(STEP).skip(1);
        for claim in orderings.chain(steps) {
            let mut quoted = claim.split('"').skip(1).step_by(2);
            let (Some(mutation), Some(names)) = (quoted.next(), quoted.next()) else {
                panic!("{}: not a claim: {claim}", path.display());
            };
            let names: Vec<String> = names.split(", ").map(str::to_owned).collect();
            let before = claims.insert(mutation.to_owned(), names.clone());
            assert!(
                before.is_none_or(|before| before == names),
                "{mutation} is claimed twice"
            );
        }
    }
    claims
}

fn workspace() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("this crate lies in the workspace")
}

/// The modelled crates' sources, without comments.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = CRATES.map(|name| workspace().join(name).join("src")).into();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("the workspace's sources can be read");
        for entry in entries {
            let path = entry.expect("the workspace's sources can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are text");
                found.push((path, without_comments(&text)));
            }
        }
    }
    found
}

fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

fn without_claims(code: &str) -> String {
    let mut pieces = code.split(OPEN);
    let mut rest = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        rest.push_str(piece.split_once(CLOSE).map_or("", |(_, after)| after));
    }
    rest
}
