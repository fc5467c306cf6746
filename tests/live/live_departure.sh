#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: what a program wrote before it ended is delivered, up to the end of the stream, through the tunnel
# and directly, as natively; a peer that takes nothing does not hold the sandbox, and an interrupt ends the wait.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
live_world
live_gateway
cat >"$live_dir/slow.py" <<'E2'
# slow.py: takes 20 kB a hundredth of a second; "BYTES end" or the error goes to its output. On the next port: never.
import socket, sys, threading, time

def listen(port):
    s = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return s, s.getsockname()[1]

def serve(c):
    count, how = 0, "end"
    try:
        while data := c.recv(20000):
            count += len(data)
            time.sleep(0.01)
    except OSError as e:
        how = e.strerror
    print(count, how, flush=True)

slow, port = listen(0)
deaf, deaf_port = listen(0)
print("ready", port, deaf_port, flush=True)
while True:
    threading.Thread(target=serve, args=(slow.accept()[0],), daemon=True).start()
E2
cat >"$live_dir/write.py" <<'E2'
# write.py HOST PORT BYTES: write and end. BYTES 0: as much as is taken, then a line, then end.
import select, socket, sys

s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
if int(sys.argv[3]) > 0:
    s.sendall(bytes(int(sys.argv[3])))
else:
    s.setblocking(False)
    while select.select([], [s], [], 1)[1]:
        s.send(bytes(100000))
E2
live_start slow server '^ready ' /usr/bin/python3 "$live_dir/slow.py"
read -r _ port deaf <<<"$live_line"
write=(/usr/bin/python3 "$live_dir/write.py")
reports=0
# report WHAT EXPECTED: what the server says of the next connection.
report() {
    local want=$((++reports + 1))
    timeout "$LIVE_WAIT_S" bash -c 'until [ "$(wc -l <"$1")" -ge "$2" ]; do read -rt 0.1 <> <(:); done' wait "$live_dir/slow.log" $want
    equal "$1" "$2" "$(sed -n "${want}p" "$live_dir/slow.log")"
}

for bytes in 1 100000 2000000; do
    live_user gateway "${write[@]}" $SERVER4 "$port" $bytes
    report "$bytes bytes, natively beside the gateway" "$bytes end"
    sandbox --allow "$SERVER4:*" -- "${write[@]}" $SERVER4 "$port" $bytes </dev/null >"$live_dir/out" 2>&1
    report "$bytes bytes through the tunnel" "$bytes end"
    sandbox --allow "[$SERVER6]:*" -- sh -c '"$@" & wait' sh "${write[@]}" $SERVER6 "$port" $bytes </dev/null >"$live_dir/out" 2>&1
    report "$bytes bytes over IPv6 from a child" "$bytes end"
    live_user gateway "$LATTICE" sandbox start --direct --allow "$SERVER4:*" -- "${write[@]}" $SERVER4 "$port" $bytes </dev/null >"$live_dir/out" 2>&1
    report "$bytes bytes directly" "$bytes end"
done

began=$SECONDS
sandbox --allow "$SERVER4:*" -- "${write[@]}" $SERVER4 "$deaf" 0 </dev/null >"$live_dir/out" 2>&1
equal "a peer that takes nothing: the program's exit status" 0 $?
contains "… and what was lost is said" 'not all that it wrote was delivered.*bytes=[1-9]' "$live_dir/out"
check "… soon" test $((SECONDS - began)) -lt 60

live_start late client 'still being delivered' "$LATTICE" sandbox start --wg "$live_dir/client.conf" --allow "$SERVER4:*" \
    -- "${write[@]}" $SERVER4 "$deaf" 0
began=$SECONDS
kill -INT "$live_pid_late"
wait "$live_pid_late"
equal "an interrupt ends the wait: the program's exit status" 0 $?
contains "… with what was lost" 'not all that it wrote was delivered.*bytes=[1-9]' "$live_dir/late.log"
check "… at once" test $((SECONDS - began)) -lt 8
live_done
