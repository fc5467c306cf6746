#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: host names resolve by the sandbox's own DNS, whatever name service daemons the host runs:
# one at nscd's socket is asked by every program outside, and by none inside, in audit mode either.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

d=$live_dir/tmp
# nscd's place, in this test's own mount namespace.
mount -t tmpfs -o mode=755 tmpfs /run 2>/dev/null || live_skip_all "/run cannot be covered here"
mkdir -m 755 /run/nscd
[ "$(readlink -f /var/run)" = /run ] || live_skip_all "/var/run is not /run here"
[ "$(id -u)" -ne 0 ] || chown "$LIVE_UID:$LIVE_UID" /run/nscd
# It covers /etc/resolv.conf, too, where that is a link to /run.
mkdir -p "$(dirname "$(readlink -m /etc/resolv.conf)")"
[ -e /etc/resolv.conf ] || cp "$live_dir/resolv.conf" "$(readlink -m /etc/resolv.conf)"
cat >"$d/nscd.py" <<'EOF'
import os, socket, struct
s = socket.socket(socket.AF_UNIX)
s.bind("/run/nscd/socket")
os.chmod("/run/nscd/socket", 0o666)
s.listen()
print("ready", flush=True)
while True:
    c = s.accept()[0]
    pid = struct.unpack("3i", c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    try:
        print("asked by", open("/proc/%d/comm" % pid).read().strip(), flush=True)
    except OSError:
        pass
    c.close()  # as nscd does for what it will not answer: the library goes on alone
EOF
live_world
live_dns
live_gateway
live_start nscd client '^ready$' /usr/bin/python3 "$d/nscd.py"
# From inside the sandbox it is the supervisor that would be seen: lattice.
asked() { grep -c "^asked by $1\$" "$live_dir/nscd.log"; }

live_user server getent ahostsv4 www.example.test >"$live_dir/out" 2>&1
contains "outside, the name resolves" "^$SERVER4" "$live_dir/out"
live_wait_line "$live_dir/nscd.log" '^asked by getent$' "$live_pid_nscd"
[ "$(asked getent)" -gt 0 ] && ok "outside, the name service daemon is asked" || not_ok "the daemon was not asked"
for mode in --enforce --audit; do
    sandbox $mode --allow www.example.test:80 --allow 'unix:/*' -- getent ahostsv4 www.example.test >"$live_dir/out" 2>&1
    contains "inside, $mode: the name resolves" "^$SERVER4" "$live_dir/out"
    lacks "inside, $mode: no word about the daemon at the terminal" nscd "$live_dir/out"
done
# The fence: it is answered after all that came before.
live_user client /usr/bin/python3 -c 'import socket; s = socket.socket(1); s.connect("/run/nscd/socket"); s.recv(1)'
equal "inside, the daemon is not asked" 0 "$(asked lattice)"
contains "the record says so" '"protocol":"unix","verdict":"drop".*"name":"/run/nscd/socket","reason":"builtin"' \
    "$live_dir/sandbox.jsonl"
sandbox --allow www.example.test:80 --allow unix:/run/nscd/socket -- getent ahostsv4 www.example.test >"$live_dir/out" 2>&1
live_wait_line "$live_dir/nscd.log" '^asked by lattice$' "$live_pid_nscd" &&
    ok "with a rule for exactly that socket it is" || not_ok "with a rule for exactly that socket it is"
live_done
