#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: SCM_CREDENTIALS between sockets of the sandbox name the process that sent, as natively,
# although the supervisor performs the call; several senders and both kinds of socket.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
cat >"$live_dir/creds.py" <<'EOF'
import os, socket, struct
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
EOF
chmod 644 "$live_dir/creds.py"
live_user client /usr/bin/python3 "$live_dir/creds.py" >"$live_dir/native"
contains "natively each message names its sender" '^SOCK_SEQPACKET 8 of 8$' "$live_dir/native"
live_user client "$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/a.jsonl" -- /usr/bin/python3 "$live_dir/creds.py" >"$live_dir/inside" 2>&1
equal "inside it does, too" "$(cat "$live_dir/native")" "$(cat "$live_dir/inside")"
live_done
