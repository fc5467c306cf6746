#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tests/qemu/live.sh [NAME=VALUE…] TEST…: runs as root in a virtual machine that tests/qemu/boot made: live
# tests of tests/live, on this kernel with Yama 1, the x32 ABI on and without user namespaces; the values
# are set for them. Prints TAP. An emulated machine takes ten times as long and more.
set -uo pipefail
export LATTICE_SLOW=20 LIVE_WAIT_S=120 LIVE_SUITE_S=3000 LIVE_LIMIT_S=900
unset LATTICE_LONG
dmesg -n 1
case "$LATTICE_SOURCE" in
/tmp/*) ;;
*) mount -t tmpfs -o mode=1777 none /tmp ;; # as most machines have it: sockets are made here
esac
dir=$LATTICE_SOURCE
while [ "$dir" != / ]; do # of this machine's own layer
    dir=$(dirname "$dir")
    chmod a+x "$dir" 2>/dev/null
done
echo # after what the firmware wrote
echo 1 >/proc/sys/kernel/yama/ptrace_scope
[ ! -e /proc/sys/kernel/unprivileged_userns_clone ] || echo 0 >/proc/sys/kernel/unprivileged_userns_clone
failed=0
for word; do
    case "$word" in
    *=*)
        export "${word?}"
        continue
        ;;
    esac
    SECONDS=0
    bash "$LATTICE_SOURCE/tests/live/$word.sh"
    case $? in
    0) echo "ok - $LATTICE_QEMU: $word ($SECONDS s)" ;;
    77) echo "# $word was skipped" ;;
    *)
        echo "not ok - $LATTICE_QEMU: $word ($SECONDS s)"
        failed=1
        ;;
    esac
done
exit $failed
