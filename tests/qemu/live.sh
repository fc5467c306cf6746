#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tests/qemu/live.sh [NAME=VALUE…] TEST…: runs as root in a virtual machine that tests/qemu/boot made: live
# tests of tests/live, on this kernel with Yama 1 (or as YAMA=0 says), the x32 ABI on and without user namespaces.
# Values are set for the tests that follow. Prints TAP. An emulated machine takes ten times as long and more.
set -uo pipefail
export LATTICE_SLOW=20 LIVE_WAIT_S=300 LIVE_SUITE_S=4800 LIVE_LIMIT_S=900
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
yama() { # SETTING
    echo "$1" >/proc/sys/kernel/yama/ptrace_scope
    where="$LATTICE_QEMU, Yama $(cat /proc/sys/kernel/yama/ptrace_scope)"
}
yama 1
[ ! -e /proc/sys/kernel/unprivileged_userns_clone ] || echo 0 >/proc/sys/kernel/unprivileged_userns_clone
failed=0
for word; do
    case "$word" in
    YAMA=*)
        yama "${word#YAMA=}"
        continue
        ;;
    *=*)
        export "${word?}"
        continue
        ;;
    esac
    SECONDS=0
    bash "$LATTICE_SOURCE/tests/live/$word.sh"
    case $? in
    0) echo "ok - $where: $word ($SECONDS s)" ;;
    77) echo "# $word was skipped" ;;
    *)
        echo "not ok - $where: $word ($SECONDS s)"
        failed=1
        ;;
    esac
done
exit $failed
