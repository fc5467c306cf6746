#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tests/qemu/cpython.sh [SUITE…]: runs as root in a virtual machine that tests/qemu/boot made: CPython's
# own suites natively and inside the sandbox on this kernel, with Yama 1, the x32 ABI on and without user
# namespaces; tests/live/live_cpython.sh compares them. Prints TAP. An hour and more in an emulated machine.
set -uo pipefail
export LATTICE_SLOW=20 LIVE_WAIT_S=120 LIVE_SUITE_S=3000 LIVE_LIMIT_S=7000
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
CPYTHON_SUITES="$*" bash "$LATTICE_SOURCE/tests/live/live_cpython.sh"
