#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: ping (iputils', unmodified) works inside over both families: through a tunnel, directly, and
# to the sandbox itself; it reaches what an icmp:// rule allows and nothing else, which the echo counters
# of the server's kernel show; what fails on the way is told as the way told it. Where the host has no
# ping sockets, direct mode and the gateway say so. Raw sockets are refused.
# pass: user
. "$(dirname "$0")/../support/live.sh"
command -v ping >/dev/null || live_skip_all "ping (package iputils-ping) is missing"
live_enter "$@"
live_world
group=$LIVE_UID
[ "$(id -u)" -eq 0 ] || group=$(id -g)
# allow_ping NAMESPACE RANGE
allow_ping() {
    local -n ping_in=LIVE_IN_$1
    "${ping_in[@]}" sh -c "echo '$2' >/proc/sys/net/ipv4/ping_group_range" ||
        live_skip_all "net.ipv4.ping_group_range cannot be set in a network namespace of our own"
}
allow_ping client "$group $group"
install -m 755 "$(command -v ping)" "$live_dir/ping" # without the capability that its file may have
ping=("$live_dir/ping" -n -i 0.2 -W 5)
soon=(-c 1 -W 0.2) # a refused request counts as sent: ping waits in vain

# echoes: how many echo requests the server's kernel has seen, IPv4 and IPv6
echoes() {
    "${LIVE_IN_server[@]}" awk '/^Icmp: [0-9]/ { v4 = $(at) } /^Icmp: In/ { for (at = 2; $(at) != "InEchos"; at++); }
        /^Icmp6InEchos / { v6 = $2 } END { print v4 + 0, v6 + 0 }' /proc/net/snmp /proc/net/snmp6
}
# pings STATUS WHAT OPTIONS… -- ARGS…: ping with ARGS in a sandbox with OPTIONS must end with STATUS
pings() {
    local status=$1 what=$2 options=() seen
    shift 2
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    rm -f "$live_dir/sandbox.jsonl"
    sandbox "${options[@]}" -- "${ping[@]}" "$@" >"$live_dir/out" 2>"$live_dir/err"
    seen=$?
    if [ $seen -eq "$status" ]; then
        ok "$what"
    else
        not_ok "$what: status $seen"
        sed 's/^/#   /' "$live_dir/out" "$live_dir/err" | tail -n 12
    fi
}

check "positive control: ping works natively with a ping socket" live_user client "${ping[@]}" -c 1 $GATEWAY4
live_gateway --allow "icmp://$SERVER4" --allow "icmp://[$SERVER6]" --allow "icmp://$METADATA4" --allow 'icmp://203.0.113.0/24' \
    --allow 'icmp://10.99.0.1' --allow "udp://$DNS4:53"

# --- without ping sockets of the host's (a new namespace lets nobody) the gateway cannot, and says so
pings 1 "a gateway without ping sockets" --allow 'icmp://*' -- -c 1 203.0.113.10
contains "… is told as filtered" "icmp_seq=1 Packet filtered" "$live_dir/out"
equal "… and the gateway says once what would help" 1 "$(grep -c 'sysctl net.ipv4.ping_group_range' "$live_dir/gateway.log")"
live_user gateway "$LATTICE" doctor >"$live_dir/out"
contains "lattice doctor says so, too" 'ping +net.ipv4.ping_group_range (lets nobody|is )' "$live_dir/out"

direct() {
    live_user gateway "$LATTICE" sandbox start --direct --audit-log "$live_dir/tmp/records" "$@" >"$live_dir/out" 2>"$live_dir/err"
}
errno_of='import socket, sys
try:
    socket.socket(socket.AF_INET, getattr(socket, sys.argv[1]), socket.IPPROTO_ICMP)
except OSError as e:
    sys.exit(e.errno)'
direct -- /usr/bin/python3 -c "$errno_of" SOCK_DGRAM
equal "direct, the host has no ping sockets: EACCES, as outside" 13 $?

allow_ping gateway "$group $group"
live_user gateway "${ping[@]}" -c 1 $SERVER4 >/dev/null # neighbours learnt
live_user gateway "${ping[@]}" -c 1 $SERVER6 >/dev/null

# --- through the tunnel
read -r before4 before6 <<<"$(echoes)"
pings 0 "IPv4 through the tunnel" --allow "icmp://$SERVER4" -- -c 2 $SERVER4
contains "… two replies, as ping shows them" "64 bytes from $SERVER4: icmp_seq=2 ttl=64 time=" "$live_dir/out"
contains "… one record of the exchange" '"kind":"flow".*"protocol":"icmp".*"bytes_out":112,"bytes_in":112.*"echo: 2 requests, 2 replies"' "$live_dir/sandbox.jsonl"
pings 0 "IPv6 through the tunnel" --allow "icmp://[$SERVER6]" -- -c 2 $SERVER6
contains "… two replies" "64 bytes from $SERVER6: icmp_seq=2 ttl=64 time=" "$live_dir/out"
pings 0 "65507 bytes, in fragments, IPv4" --allow "icmp://$SERVER4" -- -c 1 -s 65507 $SERVER4
pings 0 "8000 bytes, in fragments, IPv6" --allow "icmp://[$SERVER6]" -- -c 1 -s 8000 $SERVER6
read -r after4 after6 <<<"$(echoes)"
equal "… and the server saw three requests of each family" "3 3" "$((after4 - before4)) $((after6 - before6))"
pings 0 "the gateway's own inner address" --allow 'icmp://10.99.0.1' -- -c 1 10.99.0.1

# shellcheck disable=SC2119 # no more records
live_dns
pings 0 "by name, which a rule names" --allow 'icmp://www.example.test' -- -4 -c 1 www.example.test

# --- what no rule allows does not leave
before=$(echoes)
pings 1 "without a rule ping fails" -- "${soon[@]}" $SERVER4
contains "… one line names program, destination and option" "refused icmp $SERVER4 for /[^ ]*ping .*--allow 'icmp://$SERVER4'" "$live_dir/err"
contains "… and the record says so" "\"kind\":\"decision\".*\"dst_ip\":\"$SERVER4\".*\"protocol\":\"icmp\",\"verdict\":\"drop\"" "$live_dir/sandbox.jsonl"
pings 1 "… and over IPv6" -- "${soon[@]}" $SERVER6
pings 1 "rules for TCP and UDP do not let ping" --allow '*:*' --allow 'udp://*:*' -- "${soon[@]}" $SERVER4
pings 1 "deny wins over allow" --allow 'icmp://*' --deny "icmp://$SERVER4" -- "${soon[@]}" $SERVER4
pings 1 "the address of a name, when a rule has the name only" --allow 'icmp://www.example.test' -- "${soon[@]}" $SERVER4
pings 2 "another name than the rule's" --allow 'icmp://v4.example.test' -- -4 "${soon[@]}" www.example.test
equal "… the server saw nothing of all these" "$before" "$(echoes)"
pings 0 "audit mode lets it pass" --audit -- -c 1 $SERVER4
contains "… and records that it would have been refused" '"would_deny":true' "$live_dir/sandbox.jsonl"
pings 0 "positive control: the metadata address, by a rule of its own" --allow "icmp://$METADATA4" -- -c 1 $METADATA4
before=$(echoes)
pings 1 "the metadata address, though everything is allowed" --allow 'icmp://*' -- "${soon[@]}" $METADATA4
equal "… the server saw nothing" "$before" "$(echoes)"

# --- errors on the way
pings 1 "a destination that the gateway's own policy does not name" --allow 'icmp://*' -- -c 1 $DNS4
contains "… is told as filtered" "icmp_seq=1 Packet filtered" "$live_dir/out"
contains "… with the gateway's record" "\"dst_ip\":\"$DNS4\".*\"protocol\":\"icmp\",\"verdict\":\"drop\"" "$live_dir/gateway.jsonl"
pings 1 "a network without a route at the gateway" --allow 'icmp://*' -- -c 1 203.0.113.9
contains "… is told" "icmp_seq=1 Destination Net Unreachable" "$live_dir/out"
pings 1 "a time to live of one" --allow 'icmp://*' -- -c 1 -t 1 $SERVER4
contains "… ends at the gateway" "From 10.99.0.1 icmp_seq=1 Time to live exceeded" "$live_dir/out"
pings 1 "a hop limit of one" --allow 'icmp://*' -- -c 1 -t 1 $SERVER6
contains "… ends at the gateway" "From fd99::1 icmp_seq=1 Time exceeded: Hop limit" "$live_dir/out"
pings 0 "a time to live of two arrives" --allow 'icmp://*' -- -c 1 -t 2 $SERVER4

# --- limits: a socket remembers eight destinations, all sockets together 4096
rm -f "$live_dir/sandbox.jsonl"
sandbox --allow 'icmp://203.0.113.0/24' -- /usr/bin/python3 -c '
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
for i in range(20):
    sock.sendto(b"\x08" + bytes(7), ("203.0.113.%d" % (i + 1), 0))'
equal "a socket with twenty destinations: a record for each" 20 \
    "$(grep -c '"kind":"flow".*"protocol":"icmp".*"echo: 1 requests, 0 replies"' "$live_dir/sandbox.jsonl")"
live_user client "$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/records" -- /usr/bin/python3 -c '
import collections, errno, socket
seen, socks = collections.Counter(), []
for n in range(513):
    socks.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP))
    for i in range(8):
        try:
            socks[-1].sendto(b"\x08" + bytes(7), ("203.0.113.%d" % (i + 1), 0))
        except OSError as e:
            seen[errno.errorcode[e.errno]] += 1
print(dict(seen))
socks.pop(0).close()
last = errno.ENOBUFS
while last == errno.ENOBUFS: # until the supervisor has heard of the close
    try:
        socks[-1].sendto(b"\x08" + bytes(7), ("203.0.113.1", 0))
    except OSError as e:
        last = e.errno
print(errno.errorcode[last])' >"$live_dir/out" 2>"$live_dir/err"
equal "more destinations than the sandbox remembers: ENOBUFS, until a socket ends" "{'EACCES': 4096, 'ENOBUFS': 8} EACCES" \
    "$(tr '\n' ' ' <"$live_dir/out" | sed 's/ $//')"

# --- the sandbox itself answers, and nothing leaves
before=$(echoes)
for self in 127.0.0.1 127.9.9.9 ::1 10.99.0.2 fd99::2; do
    pings 0 "$self answers inside, without a rule" -- -c 1 $self
done
equal "… the server saw nothing" "$before" "$(echoes)"

# --- in Docker-like places
box=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}/dockerlike
if [ -x "$box" ]; then
    install -m 755 "$box" "$live_dir/dockerlike"
    for harsh in "" --harsh; do
        # shellcheck disable=SC2206 # an option or none
        LIVE_OUTER=("$live_dir/dockerlike" $harsh --)
        pings 0 "with Docker's profile${harsh:+ and process_vm_* refused}: through the tunnel" --allow "icmp://$SERVER4" -- -c 2 $SERVER4
        pings 1 "… and without a rule not" -- "${soon[@]}" $SERVER4
    done
    LIVE_OUTER=()
fi

# --- directly
"${LIVE_IN_gateway[@]}" ip -6 route add default via $SERVER6 # else direct mode sees no IPv6
direct -- /usr/bin/python3 -c "$errno_of" SOCK_DGRAM
equal "direct, the host has them: a socket" 0 $?
direct -- /usr/bin/python3 -c "$errno_of" SOCK_RAW
equal "a raw socket: EPERM" 1 $?
live_user gateway "$LATTICE" doctor >"$live_dir/out"
contains "lattice doctor: ping works" 'ping +works' "$live_dir/out"
before=$(echoes)
direct -- "${ping[@]}" "${soon[@]}" $SERVER4
equal "direct, without a rule: ping fails" 1 $?
equal "… the server saw nothing" "$before" "$(echoes)"
for to in "$SERVER4" "[$SERVER6]"; do
    bare=${to#[}
    direct --allow "icmp://$to" -- "${ping[@]}" -c 2 "${bare%]}"
    equal "direct: $to" 0 $?
done
direct --allow 'icmp://*' -- "${ping[@]}" -c 1 $GATEWAY_OUT4
equal "direct: the host's own address, which the sandbox borrows, answers inside" 0 $?
direct --allow 'icmp://*' -- "${ping[@]}" "${soon[@]}" -t 1 203.0.113.9
check "direct: no route" test $? -ne 0
live_done
