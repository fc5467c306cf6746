#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: our WireGuard speaks with wireguard-go: each side initiates, with a preshared key; keepalives
# arrive; a wrong preshared key gets nothing through; a connection lives on over a rekey (120 s); and our
# gateway serves a wireguard-go client. wireguard-go has a TUN device in a namespace of the test's own.
# pass: idle
. "$(dirname "$0")/../support/live.sh"
command -v wireguard-go >/dev/null || live_skip_all "wireguard-go is not installed"
[ -w /dev/net/tun ] || live_skip_all "needs /dev/net/tun (and root or a user namespace) for wireguard-go's TUN device"
live_enter "$@"
# wireguard-go's control socket goes to /var/run/wireguard: a place of our own, in our mount namespace
mount -t tmpfs -o mode=755 none "$(readlink -f /var/run)" || live_skip_all "/run cannot be covered in a mount namespace of our own"
live_world
live_keys psk
# shellcheck disable=SC2154 # variables of live.sh and of the servers' ready line
psk=$(sed -n 's/^PresharedKey = //p' "$live_dir/gateway.conf")
py=(/usr/bin/python3 "$LIVE_SUPPORT/client.py")

# wireguard_go NAMESPACE INTERFACE ADDRESS: wireguard-go with this device; it needs the namespace's
# capabilities, so it runs as the test itself.
wireguard_go() {
    local -n wg_in=LIVE_IN_$1
    : >"$live_dir/$2.log"
    WG_PROCESS_FOREGROUND=1 LOG_LEVEL=verbose "${wg_in[@]}" wireguard-go "$2" >>"$live_dir/$2.log" 2>&1 &
    declare -g "live_pid_$2=$!"
    live_pids+=("$!")
    live_wait_line "$live_dir/$2.log" 'UAPI listener started' "$!" || {
        tail -n 3 "$live_dir/$2.log"
        live_skip_all "wireguard-go cannot make its TUN device here"
    }
    "${wg_in[@]}" ip address add "$3" dev "$2"
    "${wg_in[@]}" ip link set mtu 1420 up dev "$2"
}
# seen NAME FILTER COUNT: wait until COUNT packets that match have passed the client's link
watch_link() {
    : >"$live_dir/$1.txt"
    tcpdump "${live_tcpdump_user[@]}" -l -n -i tunnel "$2" >>"$live_dir/$1.txt" 2>"$live_dir/$1.err" &
    watcher=$!
    live_pids+=("$watcher")
    live_wait_line "$live_dir/$1.err" 'listening on' "$watcher" || live_die "tcpdump listens"
}
wait_count() { # NAME COUNT SECONDS
    timeout "$3" grep -m "$2" -c '' < <(exec tail -n +1 -s 0.2 --pid="$watcher" -F "$live_dir/$1.txt" 2>/dev/null)
}
client_conf() { # EXTRA-INTERFACE-LINE PEER-LINES
    {
        sed -n '/^\[Interface\]/,/^$/p' "$live_dir/client.conf.in" | grep -v -e '^DNS' -e '^$'
        [ -z "$1" ] || echo "$1"
        printf '\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = 10.99.0.0/24\n%s\n' "$live_gateway_pub" "$psk" "$2"
    } >"$live_dir/client.conf"
    chmod 600 "$live_dir/client.conf"
    [ "$(id -u)" -ne 0 ] || chown "$LIVE_UID:$LIVE_UID" "$live_dir/client.conf"
}

wireguard_go gateway wgpeer 10.99.0.1/24
sed -n 's/^PrivateKey = //p' "$live_dir/gateway.conf" >"$live_dir/peer.key"
echo "$psk" >"$live_dir/psk"
peer() {
    "${LIVE_IN_gateway[@]}" wg set wgpeer peer "$live_client_pub" "$@"
}
"${LIVE_IN_gateway[@]}" wg set wgpeer private-key "$live_dir/peer.key" listen-port 51820
peer preshared-key "$live_dir/psk" allowed-ips 10.99.0.2/32
live_ca
live_start servers gateway '^ready ' /usr/bin/python3 "$LIVE_SUPPORT/live_servers.py" --cert "$live_dir/ca/server.pem" --key "$live_dir/ca/server.key"
for word in ${live_line#ready }; do
    declare "${word?}"
done
get=(curl -sS -o /dev/null --max-time 15 "http://10.99.0.1:$http_port/small")
allow=(--allow "10.99.0.1:*")

# 1. We initiate.
client_conf "" "Endpoint = $GATEWAY4:51820"
check "we initiate: curl through the tunnel" sandbox "${allow[@]}" -- "${get[@]}"
contains "… the server saw the tunnel's inner address" "^http 10.99.0.2 GET /small 200" "$live_dir/servers.log"
contains "… wireguard-go answered our initiation" 'Sending handshake response' "$live_dir/wgpeer.log"
lacks "… and did not initiate itself" 'Sending handshake initiation' "$live_dir/wgpeer.log"

if command -v ping >/dev/null; then
    install -m 755 "$(command -v ping)" "$live_dir/ping" # without the capability that its file may have
    check "… ping of its kernel, 2000 bytes in fragments" sandbox --allow 'icmp://*' -- "$live_dir/ping" -n -c 2 -i 0.2 -W 5 -s 2000 10.99.0.1
fi

# 2. A wrong preshared key: nothing passes; the same run with the right one did (1).
right=$psk
psk=$(wg genpsk)
client_conf "" "Endpoint = $GATEWAY4:51820"
psk=$right
before=$(grep -c '^accept' "$live_dir/servers.log")
if LIVE_LIMIT_S=30 sandbox "${allow[@]}" -- "${get[@]}" 2>"$live_dir/err"; then
    not_ok "with a wrong preshared key curl fails"
else
    ok "with a wrong preshared key curl fails"
fi
equal "… and the server saw nothing" "$before" "$(grep -c '^accept' "$live_dir/servers.log")"

# 3. wireguard-go initiates: our file has no endpoint, its has ours.
client_conf "ListenPort = 51821" ""
watch_link response 'udp src port 51821 and udp[8] = 2 and udp[4:2] = 100'
rm -f "$live_dir/tmp/go"
mkfifo "$live_dir/tmp/go"
chmod a+rw "$live_dir/tmp/go"
exec 6<>"$live_dir/tmp/go"
sandbox "${allow[@]}" -- bash -c 'read -r _ <"$1"; shift; exec "$@"' x "$live_dir/tmp/go" "${get[@]}" 6>&- 2>"$live_dir/err" &
pid=$!
live_pids+=("$pid")
# (a peer that is new to wireguard-go: with the session of step 1 it would not initiate)
peer remove
peer preshared-key "$live_dir/psk" allowed-ips 10.99.0.2/32 endpoint "$CLIENT4:51821" persistent-keepalive 1
equal "wireguard-go initiates: our handshake response passes" 1 "$(wait_count response 1 30)"
echo go >&6
wait "$pid"
equal "… then our side can connect to where it learned the peer is" 0 $?
exec 6>&-
live_stop "$watcher"
peer persistent-keepalive 0 endpoint "$CLIENT4:9"

# 4. Our keepalives: an idle agent, three empty transport messages.
client_conf "" "Endpoint = $GATEWAY4:51820
PersistentKeepalive = 1"
watch_link keepalive "udp dst port 51820 and udp[8] = 4 and udp[4:2] = 40"
exec 6<>"$live_dir/tmp/go"
sandbox --allow '10.99.0.1:*' -- bash -c 'read -r _ <"$1"' x "$live_dir/tmp/go" 6>&- &
pid=$!
live_pids+=("$pid")
equal "persistent keepalive: three keepalives from an idle sandbox" 3 "$(wait_count keepalive 3 30)"
echo go >&6
wait "$pid"
exec 6>&-
live_stop "$watcher"

# 5. Our gateway as the responder of a wireguard-go client, with a server behind it.
live_start behind server '^ready ' /usr/bin/python3 "$LIVE_SUPPORT/live_servers.py" --cert "$live_dir/ca/server.pem" --key "$live_dir/ca/server.key"
behind_port=$(grep -oE 'http_port=[0-9]+' <<<"$live_line" | cut -d= -f2)
live_gateway --allow '*:*' --allow 'icmp://*'
wireguard_go client wgclient 10.99.0.2/24
sed -n 's/^PrivateKey = //p' "$live_dir/client.conf.in" >"$live_dir/client.key"
wg set wgclient private-key "$live_dir/client.key" peer "$live_gateway_pub" preshared-key "$live_dir/psk" \
    allowed-ips 0.0.0.0/0 endpoint "$GATEWAY4:$live_gateway_port"
ip route add 198.51.100.0/24 dev wgclient
check "our gateway serves wireguard-go: curl of the kernel's TCP through TUN" live_user client curl -sS -o /dev/null --max-time 15 "http://$SERVER4:$behind_port/small"
contains "… the server saw the gateway's address" "^http $GATEWAY_OUT4 GET /small 200" "$live_dir/behind.log"
check "… 20 MB arrive" test "$(live_user client curl -sS --max-time 60 "http://$SERVER4:$behind_port/bytes/20000000" | sha256sum)" = \
    "$(/usr/bin/python3 "$LIVE_SUPPORT/live_stream.py" 20000000 | sha256sum)"
if [ -x "$live_dir/ping" ]; then
    group=$LIVE_UID
    [ "$(id -u)" -eq 0 ] || group=$(id -g)
    for within in client gateway; do
        declare -n ping_in=LIVE_IN_$within
        "${ping_in[@]}" sh -c "echo $group $group >/proc/sys/net/ipv4/ping_group_range"
    done
    check "… ping of the kernel's through our gateway" live_user client "$live_dir/ping" -n -c 2 -i 0.2 -W 5 $SERVER4
    check "… 2000 bytes, in fragments" live_user client "$live_dir/ping" -n -c 1 -W 5 -s 2000 $SERVER4
    live_user client "$live_dir/ping" -n -c 1 -W 5 -t 1 $SERVER4 >"$live_dir/out"
    contains "… our gateway is a hop on the way" 'From 10.99.0.1 icmp_seq=1 Time to live exceeded' "$live_dir/out"
fi
live_stop "$live_pid_wgclient"

# 6. A rekey under a living connection: an exchange twice a second until the link has shown a second
# handshake, and five exchanges more.
client_conf "" "Endpoint = $GATEWAY4:51820"
watch_link rekey 'udp[8] = 2 and udp[4:2] = 100 and port 51820'
exec 6<>"$live_dir/tmp/go"
LIVE_LIMIT_S=200 sandbox "${allow[@]}" -- /usr/bin/python3 -c '
import select, socket, sys
sock = socket.create_connection(("10.99.0.1", int(sys.argv[1])), timeout=20)
go, left, count = open(sys.argv[2]), None, 0
while left != 0:
    sock.sendall(b"%08d" % count)
    assert sock.recv(8, socket.MSG_WAITALL) == b"%08d" % count
    count += 1
    if left is not None:
        left -= 1
    elif select.select([go], [], [], 0.5)[0]:
        left = 5
print(count)' "$tcp_port" "$live_dir/tmp/go" 6>&- >"$live_dir/out" 2>"$live_dir/err" &
pid=$!
live_pids+=("$pid")
equal "two handshakes on one connection" 2 "$(wait_count rekey 2 180)"
echo go >&6
wait "$pid"
equal "… which lived on ($(cat "$live_dir/out") exchanges, each with its answer)" 0 $?
exec 6>&-
live_done
