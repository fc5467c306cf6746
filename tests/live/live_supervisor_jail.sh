#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise (C4): while an agent runs, supervisor, guardian and the auditor's writer have no capability, no way to gain one, a
# system call filter, and are not dumpable; the agent finds no way to them. The supervisor opens no
# file for writing, except where process_vm_writev is refused and /proc/PID/mem is its only way. The kernel's own account
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
# The auditor: the keeper is the supervisor's child, and the writer, which reads records, is the keeper's.
child() { # PARENT NAME
    ps -eo pid=,ppid=,comm= | awk -v parent="$1" -v name="$2" '$2 == parent && $3 == name { print $1; exit }'
}
keeper=$(child "$supervisor" lattice-audit)
# shellcheck disable=SC2034 # named by ${!who}
writer=$(child "$keeper" lattice-audit)
for who in supervisor guardian writer; do
    pid=${!who}
    equal "$who: filter" 2 "$(field "$pid" Seccomp)"
    equal "$who: no_new_privs" 1 "$(field "$pid" NoNewPrivs)"
    for set in CapInh CapPrm CapEff CapAmb; do
        equal "$who: $set is empty" 0000000000000000 "$(field "$pid" $set)"
    done
    # The files of a process that is not dumpable belong to root (65534 in a user namespace).
    owner=$(stat -c %u "/proc/$pid/environ")
    equal "$who: not dumpable" yes "$([ -n "$owner" ] && [ "$owner" != "$LIVE_UID" ] && echo yes)"
done
equal "control: the agent is, its files are its user's" "$LIVE_UID" "$(stat -c %u "/proc/$agent/environ")"

helpers=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}
echo kept >"$live_dir/tmp/file"
chmod 666 "$live_dir/tmp/file"
# opens WHAT EXPECTED PID: what the process gets when it opens an existing file for writing.
opens() {
    local seen
    seen=$("$helpers/open_as" "$3" "$live_dir/tmp/file" 2>&1)
    if [ $? -eq 77 ]; then
        echo "# SKIP $1: only root on x86-64 can make a running process do it ($seen)"
        return
    fi
    equal "$1" "$2" "$seen"
}
opens "control: the agent opens a file for writing" opened "$agent"
opens "supervisor: opens no file for writing" EPERM "$supervisor"
echo >"$live_dir/tmp/end"
wait "$sandbox"
equal "and the agent ends as it wants" 5 $?

# The agent uses a socket of the sandbox: both directions of its memory, by /proc/PID/mem.
live_user client "$helpers/dockerlike" --harsh -- "$LATTICE" sandbox start --offline \
    --audit-log "$live_dir/tmp/records" -- /usr/bin/python3 -c '
import os, socket, sys
s = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(s.getsockname())
a, peer = s.accept()
c.sendall(b"x")
ok = a.recv(1) == b"x" and peer == c.getsockname()
print(os.getpid(), os.getppid(), file=open(sys.argv[1], "w"))
open(sys.argv[2]).readline()
sys.exit(5 if ok else 1)' "$live_dir/tmp/up" "$live_dir/tmp/end" 2>"$live_dir/err" &
sandbox=$!
read -r -t "$LIVE_WAIT_S" agent guardian <"$live_dir/tmp/up" || cat "$live_dir/err"
supervisor=$(awk '/^PPid:/ { print $2 }' "/proc/$guardian/status")
opens "harsh box: the supervisor needs it" opened "$supervisor"
echo >"$live_dir/tmp/end"
wait "$sandbox"
equal "harsh box: the agent's sockets work" 5 $?
equal "nobody wrote" kept "$(cat "$live_dir/tmp/file")"
live_done
