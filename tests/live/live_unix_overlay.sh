#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: AF_UNIX sockets by path work inside on an overlay whose layers lie on two file systems, where
# stat(2) tells another device than the kernel's sockets know; and a host's daemon there is refused still.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

top=$live_dir/tmp/overlay
mkdir -p "$top"
mount -t tmpfs none "$top" && mkdir "$top/lower" "$top/upper" "$top/merged" && mount -t tmpfs none "$top/upper" &&
    mkdir "$top/upper/data" "$top/upper/work" && chmod 777 "$top/upper/data" || live_skip_all "no overlay of our own"
mount -t overlay -o "lowerdir=$top/lower,upperdir=$top/upper/data,workdir=$top/upper/work" none "$top/merged" 2>/dev/null ||
    live_skip_all "no overlay of our own"
chmod 777 "$top/merged"

# own DIR: bind, listen and connect in DIR, by stream and by datagram
own='import os, socket, sys
at = os.path.join(sys.argv[1], f"s{os.getpid()}")
server = socket.socket(socket.AF_UNIX)
server.bind(at)
server.listen()
client = socket.socket(socket.AF_UNIX)
client.connect(at)
print("stream ok")
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(at + "d")
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", at + "d")
print("datagram ok", receiver.recv(9))
print("dev", "differs" if os.stat(at).st_dev != os.stat(sys.argv[1]).st_dev else "is the same")'
visit='import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
print("visited")'

live_user client /usr/bin/python3 -c "$own" "$top/merged" >"$live_dir/out" 2>&1
equal "natively both kinds work, and the device is another" "stream ok datagram ok b'x' dev differs" "$(xargs -d '\n' <"$live_dir/out")"
live_user client "$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/records" -- \
    /usr/bin/python3 -c "$own" "$top/merged" >"$live_dir/out" 2>&1
equal "inside as well" "stream ok datagram ok b'x' dev differs" "$(xargs -d '\n' <"$live_dir/out")"

live_start daemon client '^ready' /usr/bin/python3 -c 'import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print("ready", flush=True)
while True:
    server.accept()
    print("visitor", flush=True)' "$top/merged/daemon"
live_user client /usr/bin/python3 -c "$visit" "$top/merged/daemon" >"$live_dir/out" 2>&1
contains "outside, a daemon there is reached" '^visited$' "$live_dir/out"
# shellcheck disable=SC2154 # set by live_start
live_wait_line "$live_dir/daemon.log" '^visitor' "$live_pid_daemon"
live_user client "$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/records" -- \
    /usr/bin/python3 -c "$visit" "$top/merged/daemon" >"$live_dir/out" 2>&1
contains "inside it is refused" 'ConnectionRefusedError' "$live_dir/out"
equal "… and heard nothing" 1 "$(grep -c visitor "$live_dir/daemon.log")"
live_stop "$live_pid_daemon"
umount -l "$top"
live_done
