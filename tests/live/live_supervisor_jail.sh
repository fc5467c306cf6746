#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise (C4): while an agent runs, supervisor and guardian have no capability, no way to gain one, a
# system call filter, and are not dumpable; the agent finds no way to them. The kernel's own account
# of the running processes is read, and of a process without walls for comparison.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

mkfifo "$live_dir/tmp/up" "$live_dir/tmp/end"
chmod 666 "$live_dir/tmp/up" "$live_dir/tmp/end"
live_user client "$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/records" -- \
    sh -c "echo \$\$ \$PPID >$live_dir/tmp/up; read -r _ <$live_dir/tmp/end; exit 5" 2>"$live_dir/err" &
sandbox=$!
read -r -t "$LIVE_WAIT_S" agent guardian <"$live_dir/tmp/up"
supervisor=$(awk '/^PPid:/ { print $2 }' "/proc/$guardian/status")
equal "the agent's parent is the guardian" lattice-guard "$(cat "/proc/$guardian/comm")"
equal "the guardian's parent is the supervisor" lattice "$(cat "/proc/$supervisor/comm")"

# field PID NAME
field() { awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status"; }
equal "control: this shell has no filter" 0 "$(field $$ Seccomp)"
for who in supervisor guardian; do
    pid=${!who}
    equal "$who: filter" 2 "$(field "$pid" Seccomp)"
    equal "$who: no_new_privs" 1 "$(field "$pid" NoNewPrivs)"
    for set in CapInh CapPrm CapEff CapAmb; do
        equal "$who: $set is empty" 0000000000000000 "$(field "$pid" $set)"
    done
    # The files of a process that is not dumpable belong to root.
    equal "$who: not dumpable" 0 "$(stat -c %u "/proc/$pid/environ")"
done
equal "control: the agent is, its files are its user's" "$LIVE_UID" "$(stat -c %u "/proc/$agent/environ")"
echo >"$live_dir/tmp/end"
wait "$sandbox"
equal "and the agent ends as it wants" 5 $?
live_done
