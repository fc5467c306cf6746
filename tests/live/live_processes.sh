#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: processes of every shape (daemons, vfork, clone3, shared memory, threads, without their
# first thread, workers with one listener, listeners passed on) talk inside as they do natively; and
# a process number that is used again never lends its memory to another's call (A3).
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

helpers=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}
d=$live_dir/tmp
ip link set lo up
inside() { live_user client "${wrapper[@]}" "$LATTICE" sandbox start --offline --audit-log "$d/records" -- "$@"; }

live_user client "$helpers/shapes" >"$live_dir/native" 2>&1
count=$(grep -c ' ok$' "$live_dir/native")
equal "natively all shapes talk" "$(wc -l <"$live_dir/native")" "$count"
for place in sandbox docker; do
    wrapper=()
    [ $place = sandbox ] || wrapper=("$helpers/dockerlike" --)
    inside "$helpers/shapes" >"$live_dir/out" 2>&1
    while read -r shape _; do
        contains "$place: $shape" "^$(literally "$shape") ok$" "$live_dir/out"
    done <"$live_dir/native"
done

# Numbers come again at once in a process namespace where few are left: callers are killed at any
# moment, 100 000 of them with LATTICE_LONG=1 (tools/test --long). On one processor, where the supervisor is
# interrupted in the middle of a call.
wrapper=()
small=(unshare --pid --fork --mount-proc)
lower='echo 400 >/proc/sys/kernel/pid_max && exec "$@"'
rounds=18000 # and up to four times as many, until they have made 100 000 calls
[ -z "${LATTICE_LONG:-}" ] || rounds=100000
if "${small[@]}" sh -c "$lower" sh true 2>/dev/null; then
    one=$(sed -n 's/^Cpus_allowed_list:\s*\([0-9]*\).*/\1/p' /proc/self/status)
    "${small[@]}" sh -c "$lower" sh taskset -c "$one" "${LIVE_USER[@]}" "$LATTICE" sandbox start --offline --audit-log "$d/records" -- \
        "$helpers/shapes" reuse $rounds >"$live_dir/out" 2>&1
    contains "a process number that is used again: $rounds callers are killed, none lends its memory to another" \
        "^reuse: [1-9][0-9]{3,} of [0-9]+ numbers were used again, [1-9][0-9]+ others taken, [1-9][0-9]* datagrams, 0 wrong$" \
        "$live_dir/out"
    calls=$(sed -n 's/^reuse.* \([0-9]*\) datagrams.*/\1/p' "$live_dir/out")
    check "… in 100 000 calls and more" test "${calls:-0}" -ge 100000
    sed -n 's/^reuse/# &/p' "$live_dir/out"
else
    live_skip "a process number that is used again" "pid_max cannot be lowered in a namespace here"
fi
live_done
