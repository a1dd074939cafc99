#!/bin/sh
# Model-checks the shipped concurrency code with loom, and checks that every memory ordering and every
# step that the sources call necessary is: weakened or left out, it makes the models that its claim names
# fail. docs/models.md lists them all.
#
# Bound: 2 preemptions per execution, a minute on 2 cores, and another to build from nothing.
# LOOM_MAX_PREEMPTIONS=3, for a nightly run, takes half an hour.
# Its own target directory, because a change of RUSTFLAGS rebuilds everything.
set -eu
cd "$(dirname "$0")/.."
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-2}"
export RUSTFLAGS="--cfg hartscope_loom -D warnings"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
# Models lean on assertions, and on the null checks that come with debug builds.
export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true
exec cargo test --release -p loom-tests "$@"
