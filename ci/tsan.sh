#!/bin/sh
# ThreadSanitizer over the runtime's own tests: real threads, real libraries, the code as it is compiled.
# Fails at the first report; there are no suppressions. docs/models.md says what it cannot see.
#
# Needs a nightly toolchain with rust-src, which it installs if it is missing: the standard library is
# built anew, so that its locks and counters are seen, too. Some minutes to build from nothing, and one
# to run. Its own target directory, because a change of RUSTFLAGS rebuilds everything.
set -eu
cd "$(dirname "$0")/.."
toolchain="${HARTSCOPE_NIGHTLY:-nightly}"
rustup component list --toolchain "$toolchain" 2>/dev/null | grep -q '^rust-src (installed)' ||
    rustup toolchain install "$toolchain" --profile minimal --component rust-src
export RUSTFLAGS="-Zsanitizer=thread"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/tsan"
export TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1"
host=$(rustc "+$toolchain" -vV | sed -n 's/^host: //p')
exec cargo "+$toolchain" test -Zbuild-std --target "$host" --lib --tests \
    -p epoch -p scoreboard -p tb-cache -p plugin-rt "$@"
