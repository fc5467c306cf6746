#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: what live_clients.sh shows works under what Docker's default seccomp profile refuses to a
# container without capabilities (tests/support/dockerlike.c), and, for curl, when process_vm_* and
# ptrace are refused as well. That the box refuses is shown first.
. "$(dirname "$0")/../support/live.sh"
. "$(dirname "$0")/../support/live_clients.inc"
live_enter "$@"
box=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}/dockerlike
[ -x "$box" ] || live_skip_all "$box is not built"
install -m 755 "$box" "$live_dir/dockerlike"
box=$live_dir/dockerlike

# errno_of NUMBER ARGS…: the errno of a raw system call, by python, under the prefix in $prefix
errno_of() {
    live_user client "${prefix[@]}" /usr/bin/python3 -c '
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
sys.exit(ctypes.get_errno() if libc.syscall(*map(int, sys.argv[1:])) < 0 else 0)' "$@"
}
prefix=()
errno_of 438 -1 0 0 # pidfd_getfd
equal "positive control: outside the box pidfd_getfd(-1) is a bad descriptor (EBADF)" 9 $?
prefix=("$box" --)
errno_of 438 -1 0 0
equal "inside the box pidfd_getfd is refused (EPERM)" 1 $?
errno_of 272 268435456 # unshare(CLONE_NEWUSER)
equal "inside the box user namespaces are refused (EPERM)" 1 $?
prefix=("$box" --harsh --)
errno_of 310 0 0 0 0 0 0 # process_vm_readv
equal "in the harsh box process_vm_readv is refused (EPERM)" 1 $?

for how in direct relay; do
    [ $how = direct ] && prefix=() || prefix=("$box" --)
    live_user client "${prefix[@]}" "$LATTICE" doctor --json >"$live_dir/doctor"
    live_user client "${prefix[@]}" "$LATTICE" sandbox start --verbose --offline --audit-log "$live_dir/tmp/how" -- true 2>"$live_dir/how"
    if [ $how = direct ]; then
        contains "doctor: loopback is handed over directly outside the box" '"id":"loopback"[^}]*handed over' "$live_dir/doctor"
        lacks "--verbose: it is not relayed" 'relayed' "$live_dir/how"
    else
        contains "doctor: loopback is relayed inside the box" '"id":"loopback"[^}]*relayed' "$live_dir/doctor"
        contains "--verbose: it is relayed" 'loopback inside is relayed' "$live_dir/how"
    fi
done
LIVE_OUTER=("$box" --)
clients_all
check "1000 sockets and connections one after the other, with 128 descriptors for all that is kept" \
    live_user client prlimit --nofile=128:128 "$box" -- "$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/few" -- \
    /usr/bin/python3 -c '
import socket
listener = socket.create_server(("127.0.0.1", 0))
for i in range(1000):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if i % 2 else socket.SOCK_STREAM) as s:
        s.bind(("127.0.0.1", 0))
    with socket.create_connection(listener.getsockname()) as c, listener.accept()[0] as a:
        c.send(b"%04d" % i)
        assert a.recv(4) == b"%04d" % i'
LIVE_OUTER=("$box" --harsh --)
sandboxed "curl http, harsh box" curl -sS "http://www.example.test:$http_port/small"
sandboxed "python asyncio https, harsh box" /usr/bin/python3 "$LIVE_SUPPORT/client.py" asyncio "https://www.example.test:$https_port/small" "$live_dir/ca/ca.pem"
live_done
