#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Make the two wg-quick files of one tunnel, DIR/gateway.conf and DIR/sandbox.conf, with fresh keys.
# HOST is where sandboxes reach the gateway; PORT is its UDP port.
#
# usage: examples/make-tunnel.sh DIR HOST PORT
#
# The sandbox asks this machine's name server, through the tunnel; edit DNS to ask another.
#
# Then:  lattice gateway --wg DIR/gateway.conf --allow '*:443' --allow 'udp://*:53'
#        lattice sandbox start --wg DIR/sandbox.conf --allow api.github.com:443 -- CMD
set -euo pipefail
[ $# -eq 3 ] || {
    sed -n 's/^# usage:/usage:/p' "$0" >&2
    exit 2
}
dir=$1 host=$2 port=$3
umask 077 # private keys
mkdir -p "$dir"
gateway_key=$(wg genkey)
sandbox_key=$(wg genkey)
preshared=$(wg genpsk)
[[ $host != *:* ]] || host="[$host]"
# Not a stub on loopback: the gateway's loopback is not ours.
dns=$(awk '$1 == "nameserver" && $2 !~ /^(127\.|::1$)/ { print "DNS = " $2; exit }' \
    /etc/resolv.conf /run/systemd/resolve/resolv.conf 2>/dev/null || true)

cat >"$dir/gateway.conf" <<EOF
[Interface]
PrivateKey = $gateway_key
Address = 10.99.0.1/24, fd99::1/64
ListenPort = $port

[Peer]
PublicKey = $(wg pubkey <<<"$sandbox_key")
PresharedKey = $preshared
AllowedIPs = 10.99.0.2/32, fd99::2/128
EOF

cat >"$dir/sandbox.conf" <<EOF
[Interface]
PrivateKey = $sandbox_key
Address = 10.99.0.2/32, fd99::2/128
MTU = 1420
$dns

[Peer]
PublicKey = $(wg pubkey <<<"$gateway_key")
PresharedKey = $preshared
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = $host:$port
EOF
echo "wrote $dir/gateway.conf and $dir/sandbox.conf"
