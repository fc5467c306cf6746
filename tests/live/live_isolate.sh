#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: with --isolate=full the kernel shows the sandbox's network and no other (/proc/net,
# /sys/class/net), as the emulated views do; abstract names of the host do not exist; the sandbox's own
# sockets, rules and connections work as without; `auto` goes without where the host refuses, `full`
# says why and does not start. Without isolation the host is seen: that is the control.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

peer=$LIVE_SUPPORT/unix_peer.py
helpers=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}
name=lattice-test-$$
d=$live_dir/tmp
live_world
live_start daemon client '^ready$' /usr/bin/python3 "$peer" daemon "$d" "$name"
cat >"$d/echo.py" <<'EOF'
import socket
s = socket.create_server(("192.0.2.1", 0))
print("port", s.getsockname()[1], flush=True)
while True:
    s.accept()[0].sendall(b"hello")
EOF
live_start echo client '^port ' /usr/bin/python3 "$d/echo.py"
port=${live_line#port }
cat >"$d/look.py" <<EOF
import os, socket
print("files", *sorted(line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]))
print("sysfs", *sorted(os.listdir("/sys/class/net")))
print("calls", *sorted(n for _, n in socket.if_nameindex()))
print("listening", any(":%04X" % $port in line and line.split()[3] == "0A" for line in open("/proc/net/tcp")))
print("daemon", "$d/host.sock" in open("/proc/net/unix").read())
print("resident", os.getuid(), os.getgid())
print("owner", os.stat("$d/look.py").st_uid)
here = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(here.getsockname())
print("loopback", c.getpeername() == here.getsockname())
try:
    print("outward", socket.create_connection(("192.0.2.1", $port)).recv(9).decode())
except OSError as e:
    print("outward", e.strerror)
EOF
[ "$(id -u)" -ne 0 ] || chown "$LIVE_UID:$LIVE_UID" "$d/look.py" # others' files show as nobody's
# look HOW [WRAPPER…]
look() {
    local how=$1
    shift
    live_user client "$@" "$LATTICE" sandbox start --direct --allow "192.0.2.1:$port" --isolate="$how" \
        --audit-log "$d/records" -- /usr/bin/python3 "$d/look.py" >"$live_dir/out" 2>&1
}

look none
contains "control: without isolation /proc/net is the host's" '^files .*tunnel' "$live_dir/out"
contains "control: so is /sys/class/net" '^sysfs .*' "$live_dir/out"
contains "control: a listener of the host is seen" '^listening True' "$live_dir/out"
contains "control: a daemon of the host is seen" '^daemon True' "$live_dir/out"
who=$(grep '^resident' "$live_dir/out")
owner=$(grep '^owner' "$live_dir/out")
calls=$(sed -n 's/^calls //p' "$live_dir/out")

views=$calls
[ -w /dev/net/tun ] || views=lo
for how in full auto; do
    look $how
    equal "$how: /proc/net/dev shows the sandbox's interfaces" "files $views" "$(grep '^files' "$live_dir/out")"
    [ "$(grep '^sysfs' "$live_dir/out")" = "sysfs $views" ] &&
        ok "$how: so does /sys/class/net" ||
        live_skip "$how: so does /sys/class/net" "sysfs cannot be mounted here: $(grep '^sysfs' "$live_dir/out")"
    equal "$how: as do the calls" "calls $calls" "$(grep '^calls' "$live_dir/out")"
    contains "$how: no listener of the host" '^listening False' "$live_dir/out"
    contains "$how: no daemon of the host" '^daemon False' "$live_dir/out"
    equal "$how: user and group are the same" "$who" "$(grep '^resident' "$live_dir/out")"
    equal "$how: files belong to whom they did" "$owner" "$(grep '^owner' "$live_dir/out")"
    contains "$how: loopback inside works" '^loopback True' "$live_dir/out"
    contains "$how: an allowed destination is reached" '^outward hello' "$live_dir/out"
done

# AF_UNIX in a network namespace of its own.
live_user client "$LATTICE" sandbox start --offline --isolate=full --audit-log "$d/records" \
    --allow "unix:$d/host.sock" -- /usr/bin/python3 "$peer" visit "$d" "$name" >"$live_dir/out" 2>&1
equal "its own sockets work" 4 "$(grep -c '^own-.* ok$' "$live_dir/out")"
equal "a rule's socket is reached by path, relative path and link" 3 "$(grep -c '^host-.* ok$' "$live_dir/out")"
contains "another path is refused" '^host-dgram Connection refused' "$live_dir/out"
contains "the host's abstract name does not exist" '^host-abstract Connection refused' "$live_dir/out"
equal "a moved socket is still known by its name" 1 "$(
    live_user client ln "$d/host.sock" "$d/moved"
    live_user client "$LATTICE" sandbox start --offline --isolate=full --audit-log "$d/records" --allow "unix:$d/moved" -- \
        /usr/bin/python3 "$peer" knock "$d" "$d/moved" 2>&1 | grep -c 'moved Connection refused'
)"

live_user client "$LATTICE" sandbox start --offline --isolate=full --allow "unix:@x" --audit-log "$d/records" -- true \
    >"$live_dir/out" 2>&1
equal "full does not go with a rule for an abstract name" 125 $?
contains "and says so" 'does not go with --isolate=full' "$live_dir/out"
look full "$helpers/dockerlike" --
equal "where the host refuses, full does not start" 125 $?
contains "and says why" 'does not grant user namespaces.*--isolate=auto' "$live_dir/out"
look auto "$helpers/dockerlike" --
contains "but auto does" '^outward hello' "$live_dir/out"
live_done
