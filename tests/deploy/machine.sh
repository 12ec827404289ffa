#!/bin/sh
# A machine of its own for FOLDER/script: the programs of this one, an empty /etc and /var, no network but loopback, and systemd as
# process 1. What the script says goes to FOLDER/out; FOLDER is /work there, and all else is gone afterwards.
#
# tests/deploy/machine.sh FOLDER
set -eu
if [ "${2-}" != inside ]; then
    cgroups=$(findmnt --noheadings --output TARGET --types cgroup2 | head -n 1)
    own=$cgroups/hefu-test-$$
    mkdir "$own"
    trap 'find "$own" -depth -type d -exec rmdir {} + 2>/dev/null || true' EXIT
    (
        sh -c 'echo $PPID' > "$own/cgroup.procs"
        exec unshare --mount --pid --fork --kill-child --net --uts --ipc --cgroup sh "$0" "$1" inside
    )
    exit
fi

root=$1/root
mount --make-rprivate /
mkdir -p "$root"
mount -t tmpfs -o mode=755 tmpfs "$root"
mkdir -p "$root"/usr "$root"/.usr/upper "$root"/.usr/work "$root"/etc/systemd/system "$root"/var/lib "$root"/var/log "$root"/proc "$root"/sys \
    "$root"/run "$root"/tmp "$root"/dev "$root"/root "$root"/work
mount -t overlay -o "lowerdir=/usr,upperdir=$root/.usr/upper,workdir=$root/.usr/work" overlay "$root/usr"
for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
for file in passwd group shadow nsswitch.conf ld.so.cache hosts os-release ssl; do cp -a "/etc/$file" "$root/etc/"; done
: > "$root/etc/machine-id"
mount --bind "$1" "$root/work"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    : > "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
cat > "$root/etc/systemd/system/documents.service" <<'UNIT'
[Unit]
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/bin/bash /work/script
WorkingDirectory=/work
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root
StandardInput=null
StandardOutput=file:/work/out
StandardError=inherit
TimeoutStartSec=180
UNIT
PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
cd "$root"
mkdir .old
# Not a `chroot`: services are given mounts of their own, below a root that is one.
pivot_root . .old
umount --lazy .old
# As at any boot: credentials are mounted by a helper with mounts of its own.
mount --make-rshared /
exec env -i container=hefu-test /lib/systemd/systemd --system --unit=documents.service --show-status=0
