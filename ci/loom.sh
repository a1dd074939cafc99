#!/bin/sh
# Model-checks the shipped concurrency code with loom, and checks that every memory ordering that
# the sources call necessary is: weakened, it makes the model that its comment names fail.
#
# Bound: 2 preemptions per execution, 15 s on 2 cores, and a minute to build from nothing.
# LOOM_MAX_PREEMPTIONS=3, for a nightly run, takes some minutes.
# Its own target directory, because a change of RUSTFLAGS rebuilds everything.
set -eu
cd "$(dirname "$0")/.."
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
export RUSTFLAGS="--cfg hartscope_loom -D warnings"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
# Models lean on assertions, and on the null checks that come with debug builds.
export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true
exec cargo test --release -p loom-tests "$@"
