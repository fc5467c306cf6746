#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: SCM_CREDENTIALS and SO_PEERCRED between sockets of the sandbox name the process that sent or connected,
# as natively, although the supervisor performs the call; their pidfds (Linux 6.5) as well.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
cat >"$live_dir/creds.py" <<'EOF'
import os, socket, struct, tempfile
for kind in (socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
    pairs = [socket.socketpair(socket.AF_UNIX, kind) for _ in range(8)]
    for _, mine in pairs:
        mine.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    right = 0
    for theirs, mine in pairs:
        child = os.fork()
        if child == 0:
            theirs.sendmsg([b"hello"])
            os._exit(0)
        os.waitpid(child, 0)
        for _, what, data in mine.recvmsg(64, 256)[1]:
            pid, uid, gid = struct.unpack("iii", data[:12])
            right += what == socket.SCM_CREDENTIALS and (pid, uid, gid) == (child, os.getuid(), os.getgid())
    print(kind.name, right, "of", len(pairs))
def pidfd_pid(fd):
    with open(f"/proc/self/fdinfo/{fd}") as info:
        return next(int(line.split()[1]) for line in info if line.startswith("Pid:"))
SO_PASSPIDFD, SO_PEERPIDFD, SCM_PIDFD = 76, 77, 4
where = tempfile.mkdtemp()
for address in (where + "/sock", "\0" + where):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(8)
    right = named = told = first = 0
    for _ in range(8):
        child = os.fork()
        if child == 0:
            mine = socket.socket(socket.AF_UNIX)
            mine.connect(address)
            server = struct.unpack("iii", mine.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            mine.sendmsg([b"y" if server[0] == os.getppid() else b"n"])
            mine.recv(1)
            os._exit(0)
        theirs, _ = listener.accept()
        first += theirs.recv(1) == b"y"
        peer = struct.unpack("iii", theirs.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        right += peer == (child, os.getuid(), os.getgid())
        try:
            fd = theirs.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
            named += pidfd_pid(fd) == child
        except OSError:
            named += 1 # an older kernel
        theirs.send(b"x")
        os.waitpid(child, 0)
    print("SO_PEERCRED", right, "SO_PEERPIDFD", named, "listener's", first, "of 8")
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
try:
    ours.setsockopt(socket.SOL_SOCKET, SO_PASSPIDFD, 1)
except OSError:
    ours = None
if ours:
    child = os.fork()
    if child == 0:
        theirs.sendmsg([b"hello"])
        theirs.recv(1)
        os._exit(0)
    for _, what, data in ours.recvmsg(64, 256)[1]:
        print("SCM_PIDFD", what == SCM_PIDFD and pidfd_pid(struct.unpack("i", data)[0]) == child)
    ours.send(b"x")
    os.waitpid(child, 0)
EOF
chmod 644 "$live_dir/creds.py"
live_user client /usr/bin/python3 "$live_dir/creds.py" >"$live_dir/native"
contains "natively each connection names its process" '^SO_PEERCRED 8 SO_PEERPIDFD 8 .* 8 of 8$' "$live_dir/native"
contains "natively each message names its sender" '^SOCK_SEQPACKET 8 of 8$' "$live_dir/native"
live_user client "$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/a.jsonl" -- /usr/bin/python3 "$live_dir/creds.py" >"$live_dir/inside" 2>&1
equal "inside it does, too" "$(cat "$live_dir/native")" "$(cat "$live_dir/inside")"
live_done
