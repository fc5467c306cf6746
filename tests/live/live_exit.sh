#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: the agent's end is ours: exit statuses, signals passed on, leftovers ended, and no survivor
# when the supervisor is killed. That a process has ended is seen by the end of file of a FIFO which it
# alone held open.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

start() {
    live_user client "$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/records" -- "$@"
}
# status WHAT EXPECTED CMD…
status() {
    local what=$1 expected=$2
    shift 2
    start "$@" >"$live_dir/out" 2>"$live_dir/err"
    equal "$what" "$expected" $? || sed 's/^/#   /' "$live_dir/err" | tail -n 5
}
status "exit status 0" 0 true
status "exit status 1" 1 false
status "exit status 42" 42 sh -c 'exit 42'
status "exit status 255" 255 sh -c 'exit 255'
status "not found: 127" 127 lattice-no-such-program
status "not found by path: 127" 127 /nowhere/program
printf 'not a program\n' >"$live_dir/tmp/plain"
chmod 644 "$live_dir/tmp/plain"
status "cannot execute: 126" 126 "$live_dir/tmp/plain"
status "ended by TERM: 128+15" 143 sh -c 'kill -TERM $$'
status "ended by KILL: 128+9" 137 sh -c 'kill -KILL $$'
status "ended by ABRT: 128+6" 134 sh -c 'ulimit -c 0; kill -ABRT $$'
start sh -c 'cat; echo to-stderr >&2' <<<"through stdin" >"$live_dir/out" 2>"$live_dir/err"
equal "standard input reaches the agent, output comes back" "through stdin" "$(cat "$live_dir/out")"
contains "standard error, too" '^to-stderr$' "$live_dir/err"
# Only 0, 1 and 2 are inherited (and what ls itself opens: 3).
exec 7<"$live_dir/tmp/plain" 9<"$live_dir/tmp/plain"
start sh -c 'ls /proc/self/fd | tr "\n" " "' >"$live_dir/out" 2>&1
exec 7<&- 9<&-
equal "inherited descriptors other than 0, 1, 2 are closed" "0 1 2 3 " "$(cat "$live_dir/out")"

# background NAME CMD…: start the sandbox in the background; its process id (the supervisor's): $sandbox_pid.
# CMD's FIFOs are opened before, for reading and writing, so that nothing blocks or is lost.
sandbox_pid=
background() {
    # (a shell ignores INT and QUIT for what it starts in the background)
    "${LIVE_USER[@]}" env --default-signal=INT,QUIT "$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/records" -- "$@" >"$live_dir/out" 2>"$live_dir/err" &
    sandbox_pid=$!
    live_pids+=("$sandbox_pid")
}
fifo() {
    rm -f "$1"
    mkfifo "$1"
    chmod a+rw "$1"
}
# listen FIFO COUNT: read COUNT lines into $lines, then keep the FIFO open for reading only, as 5. It is
# opened for both at first, so that nothing blocks when nobody comes.
listen() {
    local line i
    lines=
    exec 4<>"$1"
    for ((i = 0; i < $2; i++)); do
        read -r -t "$LIVE_WAIT_S" line <&4 && lines+="$line "
    done
    exec 5<"$1" 4>&-
    lines=$(tr ' ' '\n' <<<"$lines" | sort | xargs)
}
# ended FIFO-FD: end of file within the limit, that is: nobody holds it open any more
ended() {
    timeout "$LIVE_WAIT_S" cat <&"$1" >/dev/null
}

for signal in TERM INT HUP USR1 USR2 QUIT; do
    fifo "$live_dir/tmp/f"
    fifo "$live_dir/tmp/never"
    background bash -c 'exec 3>"$1"; trap "echo got-'$signal' >&3; exit 7" '$signal'; echo ready >&3; while :; do read -r -t 1 _ <>"$2"; done' \
        x "$live_dir/tmp/f" "$live_dir/tmp/never"
    listen "$live_dir/tmp/f" 1
    equal "agent is ready for SIG$signal" ready "$lines"
    kill -$signal "$sandbox_pid"
    read -r -t "$LIVE_WAIT_S" line <&5
    wait "$sandbox_pid"
    equal "SIG$signal is passed on, and its handler's exit status comes back" "got-$signal 7" "$line $?"
    exec 5<&-
done

# Leftovers: a child, a daemon (setsid, double fork), both still running when the first process ends.
family='(exec 3>"$1"; echo child >&3; exec sleep infinity) &
    setsid bash -c "(exec 3>\"\$1\"; echo daemon >&3; exec sleep infinity) &" x "$1"'
fifo "$live_dir/tmp/f"
fifo "$live_dir/tmp/go"
background bash -c "$family"'; read -r _ <"$2"; exit 3' x "$live_dir/tmp/f" "$live_dir/tmp/go"
listen "$live_dir/tmp/f" 2
equal "two processes are left over" "child daemon" "$lines"
exec 6<>"$live_dir/tmp/go"
echo >&6
wait "$sandbox_pid"
equal "the first process's exit status comes back at once" 3 $?
check "what it left running is ended" ended 5
exec 5<&- 6>&-

# The supervisor is killed: nobody survives, neither child nor daemon.
fifo "$live_dir/tmp/f"
background bash -c "$family"'; exec 3>"$1"; echo first >&3; exec sleep infinity' x "$live_dir/tmp/f"
listen "$live_dir/tmp/f" 3
equal "three processes run" "child daemon first" "$lines"
kill -KILL "$sandbox_pid"
wait "$sandbox_pid" 2>/dev/null
check "after the supervisor's SIGKILL no process of the agent survives" ended 5
exec 5<&-
live_done
