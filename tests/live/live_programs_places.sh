#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: the programs of live_programs_*.sh work where agents are run: under what Docker's default seccomp
# profile refuses, when process_vm_* and ptrace are refused as well, and without user namespaces. A choice of
# them in each place; all of them in all places with LATTICE_LONG=1.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
failed=0
skips=0
ran=0

# run PLACE SCRIPT ONLY
run() {
    local place=$1 script=$2 status=0
    LIVE_PLACE=$place LIVE_ONLY=$3 bash "$here/live_programs_$script.sh" >"$out" 2>&1 || status=$?
    sed -E "s/^((not )?ok - )/\1$place: /" "$out"
    case $status in
    0) ran=$((ran + 1)) ;;
    77) skips=$((skips + 1)) ;;
    *) failed=1 ;;
    esac
}
out=$(mktemp "${TMPDIR:-/tmp}/lattice-places.XXXXXX")
trap 'rm -f "$out"' EXIT
trap 'exit 143' TERM INT HUP

if [ -n "${LATTICE_LONG:-}" ]; then
    for place in docker docker-harsh no-userns; do
        for script in shell data web runtimes; do
            run $place $script .
        done
    done
else
    run docker shell '^ssh$'
    run docker-harsh data '^postgres$'
    run no-userns runtimes '^Go$'
fi
[ $failed -eq 0 ] || exit 1
[ $ran -gt 0 ] || {
    grep '^SKIP:' "$out"
    exit 77
}
[ $skips -eq 0 ] || echo "ok - places # SKIP $(grep '^SKIP:' "$out" | cut -c7-)"
