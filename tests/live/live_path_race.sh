#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# pass: user
# Promise (C8): a program that exchanges directories for symbolic links, at full speed, while the audit log and the
# runtime directory are opened leads nothing of ours to where the link points; nor does a link or a hard link that
# lay in the workspace before. A plain program's files do go there: the control.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

helpers=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}
d=$live_dir/tmp
rounds=20
[ -z "${LATTICE_LONG:-}" ] || rounds=150
live_user client mkdir -p "$d/work/logs" "$d/victim" "$d/run/lattice" "$d/plain"
live_user client ln -s "$d/victim" "$d/work/away"
live_user client ln -s "$d/victim" "$d/run/away"
inside() { # DIRECTORY LOG…: whether a sandbox starts there
    local where=$1 log=$2
    shift 2
    live_user client env -C "$where" "$@" "$LATTICE" sandbox start --offline --audit-log "$log" -- true >"$live_dir/out" 2>&1
}

# What lies there before.
inside "$d/work" away/records
equal "a log behind a link in the workspace is refused" 125 $?
contains "and the link is named" 'away in away/records is a symbolic link' "$live_dir/out"
live_user client touch "$d/own"
live_user client ln "$d/own" "$d/work/hard"
inside "$d/work" hard
equal "a log that is a hard link is refused" 125 $?
contains "and says so" 'has other names \(hard links\)' "$live_dir/out"
inside "$d/plain" "$d/run/away/new/records"
equal "control: a link outside of the workspace is followed" "0 1" "$? $(find "$d/victim" -name records | wc -l)"
rm -rf "$d/victim/new"

# The race for the log's directory.
live_start swapper client '^exchange: ok' "$helpers/hostile" exchange "$d/work/logs" "$d/work/away"
started=0 i=0
while [ $i -lt $rounds ]; do
    i=$((i + 1))
    inside "$d/work" "logs/records.$i" && started=$((started + 1))
done
live_user client env -C "$d/work" sh -c 'i=0; while [ $i -lt 5000 ]; do i=$((i + 1)); : >logs/plain.$i; done' 2>/dev/null
live_stop "$live_pid_swapper"
plain=$(find "$d/victim" -name 'plain.*' | wc -l)
[ "$plain" -gt 0 ] && ok "control: of 5000 plain files $plain went astray" || not_ok "control: no plain file went astray"
equal "of $rounds sandboxes' logs ($started made) none did" 0 "$(find "$d/victim" -name 'records*' | wc -l)"
[ "$started" -gt 0 ] && [ "$started" -lt $rounds ] && ok "the race was won and lost" || not_ok "the race was one-sided: $started of $rounds"
find "$d/victim" -mindepth 1 -delete

# The race for the runtime directory: its entry is there while a program runs, which looks for it.
chmod 700 "$d/run/lattice" "$d/victim"
listed() { # DIRECTORY OF THE ENTRY
    live_user client env "XDG_RUNTIME_DIR=$d/run" "$LATTICE" sandbox start --offline --audit-log "$d/plain/records" -- \
        find "$1" -name '*.json' 2>/dev/null | wc -l
}
equal "control: a sandbox has its entry in the runtime directory" 1 "$(listed "$d/run/lattice")"
live_start swapper2 client '^exchange: ok' "$helpers/hostile" exchange "$d/run/lattice" "$d/run/away"
rounds=$((rounds / 2)) i=0 astray=0
while [ $i -lt $rounds ]; do
    i=$((i + 1))
    astray=$((astray + $(listed "$d/victim")))
done
live_stop "$live_pid_swapper2"
equal "no entry went behind the link in $rounds rounds" 0 "$astray"
live_done
