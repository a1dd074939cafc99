#!/bin/sh
# Installs what the tests and the benchmark need beside Rust and a host C compiler:
#   - the riscv64 cross compiler and C library, which build the guest programs;
#   - qemu-riscv64 and qemu-system-riscv64, the references that results and times are compared with;
#   - cpio and xz, which pack the guest that ci/fetch-guest.sh fetches;
#   - glib, which plugins bring along when they read registers;
#   - the qemu.qmp package, by which a test talks to a guest: in an environment of its own below the
#     target directory.
# Says what it does, does nothing when everything is there, and fails with one line when it
# cannot install something. Nothing in the machine's apt configuration is changed.
set -eu

say() { echo "install-tools: $*"; }
fail() { echo "install-tools: $*" >&2; exit 1; }

# The Python package first: it needs nobody's rights.
target=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}
python=$target/python/bin/python
if ! "$python" -c 'import qemu.qmp' >/dev/null 2>&1; then
    say "installing qemu.qmp into $target/python"
    mkdir -p "$target"
    python3 -m venv "$target/python" && "$python" -m pip install -q --disable-pip-version-check qemu.qmp ||
        fail "cannot install the Python package qemu.qmp (python3 with venv and pip is needed)"
fi

missing=
need() { # need <command or file> <package>
    if [ -e "$1" ] || command -v "$1" >/dev/null 2>&1; then return; fi
    missing="$missing $2"
}
need gcc gcc
need riscv64-linux-gnu-gcc gcc-riscv64-linux-gnu
need /usr/riscv64-linux-gnu/lib/libc.a libc6-dev-riscv64-cross
need qemu-riscv64 qemu-user
need qemu-system-riscv64 qemu-system-riscv
need cpio cpio
need xz xz-utils
need /usr/lib/x86_64-linux-gnu/libglib-2.0.so.0 libglib2.0-0

if [ -z "$missing" ]; then
    say "all tools are there ($(qemu-riscv64 --version | sed -n 's/^\(qemu[^(]*\).*/\1/p'))"
    exit 0
fi
[ "$(id -u)" = 0 ] || fail "missing packages, and only root can install them:$missing"
command -v apt-get >/dev/null 2>&1 || fail "missing packages, and there is no apt-get to install them:$missing"

say "installing$missing"
export DEBIAN_FRONTEND=noninteractive
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The backports suite usually has a newer QEMU, which is the fairer reference. Its apt source is
# the machine's own Debian source with another suite name, used for these calls only.
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
suite=$codename-backports
own=/etc/apt/sources.list.d/debian.sources
mkdir "$work/parts"
if [ -n "$codename" ] && [ -f "$own" ]; then
    cp "$own" "$work/parts/debian.sources"
    awk 'BEGIN { RS = ""; ORS = "\n\n" } NR == 1' "$own" |
        sed "s/^Suites:.*/Suites: $suite/" >"$work/parts/backports.sources"
elif [ -n "$codename" ] && [ -s /etc/apt/sources.list ]; then
    grep '^deb ' /etc/apt/sources.list >"$work/parts/own.list" || true
    awk -v from="$codename" -v to="$suite" \
        '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i == from) { $i = to; print; exit } }' \
        /etc/apt/sources.list >"$work/parts/backports.list"
fi
apt() { apt-get -qq -o APT::Get::List-Cleanup=0 -o Dpkg::Use-Pty=0 "$@" >"$work/log" 2>&1; }
with_backports() { apt -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/parts" "$@"; }

update_done=
update() { [ -n "$update_done" ] || apt update || { cat "$work/log" >&2; fail "apt-get update failed"; }; update_done=yes; }

# What QEMU's packages are called in the default suite.
default_name() { case $1 in qemu-system-riscv) echo qemu-system-misc ;; *) echo "$1" ;; esac }

for package in $missing; do
    case $package in qemu-*)
        if with_backports update && with_backports install -y --no-install-recommends -t "$suite" "$package"; then
            say "$package comes from $suite"
            continue
        fi
        say "no $package from $suite, taking the default suite's"
        package=$(default_name "$package")
        ;;
    esac
    update
    apt install -y --no-install-recommends "$package" ||
        { cat "$work/log" >&2; fail "apt-get could not install $package"; }
done
say "done: $(qemu-riscv64 --version | head -n 1)"
