#!/bin/sh
# Fetches a real guest for `hartscope boot` and packs it into the directory that it names:
#   Image           Debian's riscv64 kernel (6.12)
#   initrd.img      a static busybox, the modules of the board's devices, and an init of our own
#   fw_jump.bin, fw_dynamic.bin   OpenSBI
# Packages come through the machine's own package manager, from its own Debian source with another
# suite name and another architecture, in a private configuration: nothing is installed, and
# nothing in the machine's configuration changes. Does nothing when the guest is there already.
#
# The init prints `guest: N harts`, then runs what `run="COMMAND"` on the kernel's command line says,
# prints `guest: status N` and powers off; without `run` there is a shell. `modules=none` leaves the
# modules out.
set -eu

suite=${HARTSCOPE_GUEST_SUITE:-trixie}

say() { echo "fetch-guest: $*"; }
fail() { echo "fetch-guest: $*" >&2; exit 1; }

script=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
target=${CARGO_TARGET_DIR:-$(dirname "$(dirname "$script")")/target}
guest=$target/guest
stamp="$suite $(cksum <"$script")"
if [ "$(cat "$guest/stamp" 2>/dev/null || true)" = "$stamp" ]; then
    say "the guest is there: $guest"
    exit 0
fi
for tool in apt-get dpkg-deb cpio xz gzip; do
    command -v $tool >/dev/null 2>&1 || fail "there is no $tool (ci/install-tools.sh installs the tools)"
done

# Two who fetch at a time would be in each other's way only in the last step, which is a rename.
mkdir -p "$target"
work=$(mktemp -d "$(cd "$target" && pwd)/guest.XXXXXX")
trap 'rm -rf "$work"' EXIT
# The sandbox user of apt has to get there.
chmod 755 "$work"

# --- packages ---

mkdir -p "$work/sources" "$work/lists/partial" "$work/cache/archives/partial" "$work/packages" "$work/root"
own=/etc/apt/sources.list.d/debian.sources
if [ -f "$own" ]; then
    awk 'BEGIN { RS = ""; ORS = "\n\n" } NR == 1' "$own" |
        sed "s/^Suites:.*/Suites: $suite/" >"$work/sources/guest.sources"
elif [ -s /etc/apt/sources.list ]; then
    awk -v to="$suite" '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\//) { $(i + 1) = to; print; exit } }' \
        /etc/apt/sources.list >"$work/sources/guest.list"
else
    fail "this machine has no Debian source to derive the guest's from"
fi
: >"$work/status"
apt() { # apt <command> ...: the private configuration
    command=$1
    shift
    "$command" -q -o APT::Architecture=riscv64 -o APT::Architectures=riscv64 \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources" \
        -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status" \
        -o Dir::Cache="$work/cache" "$@"
}
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "failed: $*"; }; }

say "reading the package lists of $suite for riscv64"
quietly apt apt-get update
kernel=$(apt apt-cache depends linux-image-riscv64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$kernel" ] || fail "no riscv64 kernel in $suite"
say "fetching $kernel, busybox-static and opensbi"
(cd "$work/packages" && quietly apt apt-get download "$kernel" busybox-static opensbi)
for package in "$work"/packages/*.deb; do
    quietly dpkg-deb -x "$package" "$work/root"
done

# --- initrd ---

tree=$work/tree
mkdir -p "$tree/bin" "$tree/dev" "$tree/proc" "$tree/sys" "$tree/tmp" "$tree/mnt" "$tree/modules"
cp "$work/root/usr/bin/busybox" "$tree/bin/busybox"

# Unpacks a module behind those that it depends on.
add_module() {
    name=$(echo "$1" | tr - _)
    [ ! -e "$tree/modules/$name.ko" ] || return 0
    # A name has hyphens in one place and underscores in another.
    packed=$(find "$work/root" -name "$(echo "$1" | sed 's/[-_]/[-_]/g').ko.xz" | head -n 1)
    # What is not a module is built in.
    [ -n "$packed" ] || return 0
    xz -dc "$packed" >"$tree/modules/$name.ko"
    for needed in $(tr '\0' '\n' <"$tree/modules/$name.ko" | sed -n 's/^depends=//p' | head -n 1 | tr , ' '); do
        (add_module "$needed")
    done
    echo "$name" >>"$tree/modules/order"
}
find "$work/root" -name 'virtio_mmio.ko.xz' | grep -q . || fail "$kernel has no module virtio_mmio"
# The file system wants its check sums' module, and does not say so where dependencies are listed.
for module in virtio_mmio virtio_blk virtio_rng virtio_net crc32c_generic ext4; do
    add_module "$module"
done

cat >"$tree/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ TERM="${TERM:-linux}"
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
if [ "$modules" != none ]; then
    while read -r module; do insmod "/modules/$module.ko"; done </modules/order
fi
echo "guest: $(nproc) harts"
if [ -n "$run" ]; then
    sh -c "$run"
    echo "guest: status $?"
else
    setsid cttyhack sh
fi
sync
umount -a -r 2>/dev/null
poweroff -f
INIT
chmod 755 "$tree/init"
(cd "$tree" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet | gzip -9n) >"$work/initrd.img"

# --- done ---

cp "$work/root/boot/vmlinux-"* "$work/Image"
cp "$work/root/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_jump.bin" "$work/root/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin" "$work/"
mkdir -p "$guest"
for file in Image initrd.img fw_jump.bin fw_dynamic.bin; do
    mv "$work/$file" "$guest/$file"
done
echo "$stamp" >"$guest/stamp"
say "the guest is there: $guest ($kernel)"
