#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: a supervisor that does not answer lets nothing through (A8), nor does one that is killed (A10); stopped and continued callers
# lose nothing (A9); absurd lengths cost no memory (A12); a flood in one sandbox leaves its neighbour
# working (A13); setuid programs gain nothing (A14); programs in quick succession all run (A15);
# io_uring does not exist (B1). Each with its control.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

d=$live_dir/tmp
ip link set lo up
ip link add here type dummy 2>/dev/null || ip link add here type veth peer name there
live_address client here 192.0.2.1/24
cat >"$d/canary.py" <<'EOF'
import select, socket
listeners = {n: socket.create_server(("192.0.2.1", 0)) for n in ("allowed", "denied")}
print("ports", *(s.getsockname()[1] for s in listeners.values()), flush=True)
while True:
    for s in select.select(list(listeners.values()), [], [])[0]:
        c = s.accept()[0]
        word = c.recv(9).decode()
        print([n for n in listeners if listeners[n] is s][0], word, flush=True)
        c.sendall(b"ok")
        c.close()
EOF
cat >"$d/call.py" <<'EOF'
import socket, sys, threading
def call(word, port):
    try:
        c = socket.create_connection(("192.0.2.1", int(port)))
        c.sendall(word.encode())
        answer = c.recv(9).decode()
    except OSError as e:
        answer = e.strerror
    sys.stdout.write(f"{word} {answer}\n")  # one write: another thread's line must not come between
    sys.stdout.flush()
print("ready", flush=True)
if sys.argv[1] == "wait":
    sys.stdin.readline()
threads = [threading.Thread(target=call, args=a) for a in zip(sys.argv[2::2], sys.argv[3::2])]
print("asking", flush=True)
for t in threads: t.start()
for t in threads: t.join()
EOF
live_start canary client '^ports ' /usr/bin/python3 "$d/canary.py"
read -r _ allowed denied <<<"$live_line"
fence() { # nothing that was sent before it arrives after it
    live_user client /usr/bin/python3 "$d/call.py" now "$1" "$allowed" >/dev/null
    live_wait_line "$live_dir/canary.log" "^allowed $1\$" "$live_pid_canary"
}

# A8. The control is the answer after the supervisor goes on.
mkfifo "$d/go"
chmod 666 "$d/go"
exec 9<>"$d/go"
live_start stopped client '^ready$' "$LATTICE" sandbox start --direct --allow "192.0.2.1:$allowed" --audit-log "$d/records" -- \
    sh -c 'exec /usr/bin/python3 "$@" <"$0"' "$d/go" "$d/call.py" wait one "$allowed" two "$denied"
kill -STOP "$live_pid_stopped"
echo go >&9
live_wait_line "$live_dir/stopped.log" '^asking$' "$live_pid_stopped"
fence fence1
equal "a stopped supervisor lets nothing through" 0 "$(grep -cE '(one|two)$' "$live_dir/canary.log")"
kill -CONT "$live_pid_stopped"
live_wait_line "$live_dir/stopped.log" '^two' "$live_pid_stopped"
wait "$live_pid_stopped"
fence fence2
contains "when it goes on, the allowed one arrives" '^allowed one$' "$live_dir/canary.log"
lacks "and the denied one does not" 'two$' "$live_dir/canary.log"
contains "which is told so" '^two Connection refused$' "$live_dir/stopped.log"

# A9
cat >"$d/cycles.py" <<'EOF'
import os, socket, time
print("pid", os.getpid(), flush=True)
took = []
listener = socket.create_server(("127.0.0.1", 0))
for n in range(1000):
    begun = time.monotonic()
    c = socket.create_connection(listener.getsockname())
    took.append(time.monotonic() - begun)
    s = listener.accept()[0]
    c.sendall(b"x")
    assert s.recv(2) == b"x"
    c.close(), s.close()
print("cycles", n + 1, len(os.listdir("/proc/self/fd")), flush=True)
print("p99", int(sorted(took)[990] * 1e6), "us", flush=True)
EOF
live_user client "$LATTICE" sandbox start --offline --audit-log "$d/records" -- /usr/bin/python3 "$d/cycles.py" >"$live_dir/calm" 2>&1
contains "undisturbed, all cycles are made" '^cycles 1000' "$live_dir/calm"
live_start storm client '^pid ' "$LATTICE" sandbox start --offline --audit-log "$d/records" -- /usr/bin/python3 "$d/cycles.py"
agent=${live_line#pid }
stops=0
while kill -STOP "$agent" 2>/dev/null; do
    kill -CONT "$agent" 2>/dev/null
    stops=$((stops + 1))
done
wait "$live_pid_storm"
equal "stopped and continued $stops times, all cycles are made, nothing is left open" \
    "$(grep ^cycles "$live_dir/calm")" "$(grep ^cycles "$live_dir/storm.log")"
[ "$stops" -gt 100 ] && ok "it was a storm" || not_ok "only $stops stops"
# The same by the freezer of cgroups, of either version: what is frozen is not stopped, but its ioctls vanish, too.
freezer=/sys/fs/cgroup/freezer/lattice-test-$$ switch=freezer.state on=FROZEN off=THAWED
[ -e /sys/fs/cgroup/freezer ] || freezer=/sys/fs/cgroup/lattice-test-$$ switch=cgroup.freeze on=1 off=0
if mkdir "$freezer" 2>/dev/null && [ -e "$freezer/$switch" ]; then
    live_start frozen client '^pid ' "$LATTICE" sandbox start --offline --audit-log "$d/records" -- /usr/bin/python3 "$d/cycles.py"
    agent=${live_line#pid }
    freezes=0
    echo "$agent" >"$freezer/cgroup.procs"
    while [ -e "/proc/$agent/root" ] && kill -0 "$live_pid_frozen" 2>/dev/null; do
        echo $on >"$freezer/$switch"
        echo $off >"$freezer/$switch"
        freezes=$((freezes + 1))
    done
    wait "$live_pid_frozen"
    equal "frozen and thawed $freezes times, all cycles are made, nothing is left open" \
        "$(grep ^cycles "$live_dir/calm")" "$(grep ^cycles "$live_dir/frozen.log")"
    [ "$freezes" -gt 50 ] && ok "it was a storm, too" || not_ok "only $freezes freezes"
    rmdir "$freezer"
else
    rmdir "$freezer" 2>/dev/null
    live_skip "cgroup freezer" "no cgroup can be made here"
fi

# A10: a daemon that knocks for ever, when what started it is killed by force.
cat >"$d/knock.py" <<'EOF'
import os, signal, socket, sys
if os.fork():
    signal.pause()
os.setsid()
if os.fork():
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while not os.path.exists(sys.argv[3]):
    try:
        c = socket.create_connection(("192.0.2.1", int(sys.argv[2])))
        c.sendall(sys.argv[1].encode())
        c.recv(9)
    except OSError:
        pass
EOF
mkfifo "$d/alive"
chmod 666 "$d/alive"
lost() { # WORD WRAPPER…: started, heard, and killed; descriptor 8 ends when nobody holds its other end
    local word=$1 pid
    shift
    "${LIVE_USER[@]}" "$@" /usr/bin/python3 "$d/knock.py" "$word" "$allowed" "$d/stop" >"$d/alive" 2>/dev/null &
    pid=$!
    exec 8<"$d/alive"
    live_wait_line "$live_dir/canary.log" "^allowed $word\$" "$live_pid_canary"
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
}
knocks() { grep -c "^allowed $1\$" "$live_dir/canary.log"; }
lost native
fence fence3
before=$(knocks native)
fence fence4
fence fence5
[ "$(knocks native)" -gt "$before" ] && ok "control: natively a daemon goes on knocking" || not_ok "natively the daemon stopped"
touch "$d/stop"
timeout 20 cat <&8
rm "$d/stop"
rounds=5 survived=0 heard=0
[ -z "${LATTICE_LONG:-}" ] || rounds=100
for i in $(seq $rounds); do
    lost "lost$i" "$LATTICE" sandbox start --direct --allow "192.0.2.1:$allowed" --audit-log "$d/records-lost" --
    timeout 20 cat <&8 || survived=$((survived + 1))
    fence "a$i"
    before=$(knocks "lost$i")
    fence "b$i"
    heard=$((heard + $(knocks "lost$i") - before))
done
equal "of $rounds supervisors killed by force no agent survives, and nothing more arrives" "0 0" "$survived $heard"
timeout 20 bash -c 'until [ "$(grep -c "supervisor lost" "$0")" -ge "$1" ]; do :; done' "$d/records-lost" $rounds
equal "each has a record that says so" $rounds "$(grep -c 'supervisor lost' "$d/records-lost")"
exec 8<&-

# A12
cat >"$d/absurd.py" <<'EOF'
import ctypes, mmap, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
room = mmap.mmap(-1, 1 << 32, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
at = ctypes.addressof(ctypes.c_char.from_buffer(room))
class iov(ctypes.Structure): _fields_ = [("base", ctypes.c_size_t), ("len", ctypes.c_size_t)]
class msg(ctypes.Structure): _fields_ = [("name", ctypes.c_size_t), ("namelen", ctypes.c_uint), ("iov", ctypes.c_void_p),
    ("iovlen", ctypes.c_size_t), ("control", ctypes.c_size_t), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int)]
sockets = [socket.socketpair()[0], *socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[:1],
           socket.socket(socket.AF_INET, socket.SOCK_STREAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)]
for _ in range(20):
    for s in sockets:
        for n in (1 << 20, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 64) - 1):
            pieces = (iov * 1024)(*[iov(at, n)] * 1024)
            for count in (1, 1024, 1025, n):
                for control in (0, n):
                    m = msg(at, n & 0xffffffff, ctypes.addressof(pieces), count, at, control, 0)
                    libc.sendmsg(s.fileno(), ctypes.byref(m), 0x4040)
                    libc.recvmsg(s.fileno(), ctypes.byref(m), 0x40)
                    libc.sendmmsg(s.fileno(), ctypes.byref(m), n & 0xffffffff, 0x4040)
            libc.connect(s.fileno(), at, n & 0xffffffff)
            libc.bind(s.fileno(), at, n & 0xffffffff)
            libc.setsockopt(s.fileno(), 1, 2, at, n & 0xffffffff)
status = [l for l in open("/proc/%d/status" % int(sys.argv[1])).readlines()] if len(sys.argv) > 1 else []
print("absurd done", flush=True)
sys.stdin.readline()
EOF
mkfifo "$d/end"
chmod 666 "$d/end"
exec 7<>"$d/end"
live_start absurd client '^absurd done' "$LATTICE" sandbox start --offline --audit-log "$d/records" -- \
    sh -c 'exec /usr/bin/python3 "$1" <"$2"' sh "$d/absurd.py" "$d/end"
peak=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$live_pid_absurd/status")
echo end >&7
wait "$live_pid_absurd"
case "$LATTICE_BIN" in
*asan* | *tsan*) live_skip "absurd lengths leave the supervisor below 64 MiB" "a sanitizer needs more ($peak KiB)" ;;
*)
    [ "${peak:-999999}" -lt 65536 ] && ok "absurd lengths leave the supervisor below 64 MiB ($peak KiB)" ||
        not_ok "the supervisor took ${peak:-?} KiB"
    ;;
esac

# A13
cat >"$d/flood.py" <<'EOF'
import socket, threading
s = socket.socket()
def flood():
    while True:
        s.getsockname()
for _ in range(16): threading.Thread(target=flood, daemon=True).start()
print("flooding", flush=True)
threading.Event().wait()
EOF
live_start flood client '^flooding' "$LATTICE" sandbox start --offline --audit-log "$d/records2" -- /usr/bin/python3 "$d/flood.py"
LIVE_LIMIT_S=60 live_user client "$LATTICE" sandbox start --offline --audit-log "$d/records" -- /usr/bin/python3 "$d/cycles.py" >"$live_dir/out" 2>&1
contains "beside a flood, the neighbour makes its cycles" '^cycles 1000' "$live_dir/out"
p99() { sed -n 's/^p99 \([0-9]*\) us$/\1/p' "$1"; }
calm=$(p99 "$live_dir/calm") beside=$(p99 "$live_dir/out")
# The scheduler's share is in it: a slice of some milliseconds for each of the flood's threads that gets its turn first.
[ "${beside:-999999}" -lt $((50 * ${calm:-0} + 50000)) ] && ok "and its connections take no longer than a busy machine's ($calm us alone, $beside us at p99)" ||
    not_ok "99 of 100 of its connections take $beside us, alone $calm us"
kill "$live_pid_flood"

# A14
if [ "$(id -u)" -eq 0 ]; then
    plain=(setpriv --reuid="$LIVE_UID" --regid="$LIVE_UID" --clear-groups env -i "HOME=$live_dir/home" "PATH=$PATH")
    install -o root -m 4755 /usr/bin/id "$live_dir/setuid-id"
    if [ "$("${plain[@]}" "$live_dir/setuid-id" -u)" = 0 ]; then
        ok "control: outside, the setuid program is root"
        equal "inside it is the caller" "$LIVE_UID" \
            "$("${plain[@]}" "$LATTICE" sandbox start --offline --audit-log "$d/records" -- "$live_dir/setuid-id" -u)"
    else
        live_skip "setuid programs" "this file system ignores the bit"
    fi
else
    live_skip "setuid programs" "one can only be made by root"
fi

# A15
live_user client "$LATTICE" sandbox start --offline --audit-log "$d/records" -- \
    sh -c 'i=0; while [ $i -lt 200 ]; do /bin/true || exit 1; i=$((i + 1)); done; echo all 200' >"$live_dir/out" 2>&1
contains "200 programs in quick succession run" '^all 200$' "$live_dir/out"

# B1: io_uring_setup, _enter, _register
cat >"$d/uring.py" <<'EOF'
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for n in (425, 426, 427):
    libc.syscall(n, -1, 0, 0, 0, 0, 0)
    print("uring", n, errno.errorcode[ctypes.get_errno()])
EOF
if live_user client /usr/bin/python3 "$d/uring.py" | grep -qE 'ENOSYS|EPERM'; then
    live_skip "io_uring" "this kernel offers none"
else
    ok "control: outside there is io_uring"
    live_user client "$LATTICE" sandbox start --offline --audit-log "$d/records" -- /usr/bin/python3 "$d/uring.py" >"$live_dir/out"
    equal "inside there is none" 3 "$(grep -c ENOSYS "$live_dir/out")"
fi
exec 7>&- 9>&-
live_done
