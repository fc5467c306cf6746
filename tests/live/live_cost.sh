#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: what interception costs stays what it is, in things that can be counted on any machine,
# however busy: system calls that the supervisor makes for one call of the agent, bytes of its
# memory, idle and for one socket, and libraries. Times are bench/run's business.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
command -v strace >/dev/null || live_skip_all "strace is not installed"
bench=${LATTICE_BENCH:-$LATTICE_BIN/../bench}/bench_intercept
[ -x "$bench" ] || live_skip_all "bench_intercept is not built"
install -m 755 "$bench" "$live_dir/bench_intercept"
bench=$live_dir/bench_intercept
ulimit -n "$(ulimit -Hn)"

# supervised N WHAT: how many system calls the supervisor makes while its agent does WHAT N times.
supervised() {
    live_user client env ASAN_OPTIONS=detect_leaks=0 strace -qq -o "$live_dir/tmp/trace" \
        "$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/records" -- "$bench" repeat "$2" "$1" >"$live_dir/out" 2>&1 ||
        return 1
    wc -l <"$live_dir/tmp/trace"
}
# costs WHAT LEAST MOST: calls of the supervisor for one WHAT, from the difference of two runs.
costs() {
    local few many each
    if ! { few=$(supervised 200 "$1") && many=$(supervised 1200 "$1"); }; then
        not_ok "$1 runs in the sandbox: $(tail -n 3 "$live_dir/out")"
        return
    fi
    each=$(((many - few + 500) / 1000))
    if [ "$each" -ge "$2" ] && [ "$each" -le "$3" ]; then
        ok "$1: $each system calls of the supervisor, at most $3"
    else
        not_ok "$1: $each system calls of the supervisor, not $2 to $3"
    fi
}
if ! live_user client strace -qq -o "$live_dir/tmp/trace" true 2>/dev/null; then
    live_skip "counted system calls" "this place does not let strace(1) trace"
else
    # The least: wait, receive, answer. Without any, the call would not have asked.
    costs getsockname 3 9
    costs getsockopt 3 9
    costs setsockopt 3 8
    costs socket_close 3 10 # two of them look for sockets that were closed unnoticed
    costs udp_exchange 6 20
    costs loopback_cycle 9 38 # socket, connect, accept
    costs getppid 0 0
    costs send_recv_unix 0 0
fi

# anon COUNT KIND: KiB of the supervisor's own memory while its agent holds COUNT sockets of KIND.
anon() {
    local pid kib=
    mkfifo "$live_dir/tmp/hold.$1.$2"
    exec 6<>"$live_dir/tmp/hold.$1.$2"
    : >"$live_dir/held"
    "${LIVE_USER[@]}" "$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/records" -- \
        "$bench" hold "$1" "$2" <"$live_dir/tmp/hold.$1.$2" >>"$live_dir/held" 2>&1 6>&- &
    pid=$!
    live_pids+=("$pid")
    ! live_wait_line "$live_dir/held" '^ready' "$pid" >&2 || kib=$(awk '/^RssAnon:/ { print $2 }' "/proc/$pid/status")
    exec 6>&-
    wait "$pid"
    echo "$kib"
}
idle=$(anon 1 tcp)
if [ -n "$idle" ] && [ "$idle" -gt 0 ] && [ "$idle" -le 1024 ]; then
    ok "a supervisor takes $idle KiB of its own when its agent has one socket, at most 1024"
else
    not_ok "a supervisor takes ${idle:-?} KiB of its own when its agent has one socket, not 1 to 1024"
fi
# Every start maps what is linked, and every fork copies what that touched.
needed=$(objdump -p "$LATTICE_BIN/lattice" | awk '$1 == "NEEDED" { print $2 }')
if grep -q libc.so <<<"$needed" && ! grep -E 'ssl|crypto|sqlite|nats|curl' <<<"$needed"; then
    ok "no library is linked that a sandbox may do without"
else
    not_ok "linked libraries: $needed"
fi
for kind in tcp udp; do
    few=$(anon 400 $kind)
    many=$(anon 1400 $kind)
    if [ -z "$few" ] || [ -z "$many" ]; then
        not_ok "$kind sockets are held: $(tail -n 2 "$live_dir/held")"
        continue
    fi
    each=$(((many - few) * 1024 / 1000))
    if [ "$each" -gt 0 ] && [ "$each" -le 2048 ]; then
        ok "a $kind socket takes $each bytes of the supervisor, at most 2048"
    else
        not_ok "a $kind socket takes $each bytes of the supervisor, not 1 to 2048"
    fi
done
live_done
