#!/bin/sh
# Builds the demo guest: sh build.sh OUTPUT
#
# The committed demo.elf is exactly what this makes with Debian's
# riscv64-linux-gnu-gcc 12; hartscope/tests/demo.rs rebuilds and compares.
# Change the sources, run this, commit both. (Another guest is built in and
# shares the run time: ../stress. Its build is this one: sh build.sh OUTPUT
# SOURCE.)
set -eu
out=$(realpath -m "${1:?usage: sh build.sh OUTPUT [SOURCE]}")
program=$(realpath "${2:-$(dirname "$0")/demo.c}")
cd "$(dirname "$0")"
# Objects get fixed names, which end up in the symbol table.
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
for source in start.S rt.c "$program"; do
    object=${source##*/}
    riscv64-linux-gnu-gcc \
        -march=rv64gc -mabi=lp64d -O2 -Wall -Wextra -Werror -std=gnu11 \
        -ffreestanding -fno-builtin -fno-pic -fno-stack-protector \
        -fno-asynchronous-unwind-tables -ffp-contract=off \
        -c -o "$objects/${object%.*}.o" "$source"
done
object=${program##*/}
cd "$objects"
riscv64-linux-gnu-gcc -nostdlib -static -no-pie -Wl,--build-id=none \
    -Wl,-z,noexecstack -Wl,-z,separate-code -o "$out" start.o rt.o "${object%.*}.o"
