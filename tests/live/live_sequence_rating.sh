#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise (E1): nmap rates the initial sequence numbers of our stack as hard to predict as the kernel's, and
# sees no counter in its packet numbers. It scans through a TUN device of wireguard-go's, behind which our
# gateway answers. Controls: the same scan of the kernel's own stack, and of a host whose numbers are counters,
# which it calls trivial.
. "$(dirname "$0")/../support/live.sh"
command -v wireguard-go >/dev/null || live_skip_all "wireguard-go is not installed"
command -v nmap >/dev/null || live_skip_all "nmap is not installed"
[ -w /dev/net/tun ] || live_skip_all "needs /dev/net/tun (and root or a user namespace) for wireguard-go's TUN device"
live_enter "$@"
# wireguard-go's control socket goes to /var/run/wireguard: a place of our own, in our mount namespace
mount -t tmpfs -o mode=755 none "$(readlink -f /var/run)" || live_skip_all "/run cannot be covered in a mount namespace of our own"
live_world
live_servers
# shellcheck disable=SC2154 # variables of live.sh and of the servers' ready line
live_gateway --allow '*:*' --allow 'udp://*:*' --allow 'icmp://*'

: >"$live_dir/wgclient.log"
WG_PROCESS_FOREGROUND=1 LOG_LEVEL=verbose wireguard-go wgclient >>"$live_dir/wgclient.log" 2>&1 &
live_pids+=("$!")
live_wait_line "$live_dir/wgclient.log" 'UAPI listener started' "$!" || live_skip_all "wireguard-go cannot make its TUN device here"
ip address add 10.99.0.2/24 dev wgclient
ip link set mtu 1420 up dev wgclient
sed -n 's/^PrivateKey = //p' "$live_dir/client.conf.in" >"$live_dir/client.key"
wg set wgclient private-key "$live_dir/client.key" peer "$live_gateway_pub" allowed-ips 0.0.0.0/0 \
    endpoint "$GATEWAY4:$live_gateway_port"
ip route add 198.51.100.0/24 dev wgclient

# scan NAMESPACE ADDRESS PORT NAME: nmap's rating to $difficulty and $numbers. Its probes have a beat of 100 ms,
# which a busy machine may miss: without a rating it tries again.
scan() {
    local -n scan_in=LIVE_IN_$1
    for _ in 1 2 3; do
        timeout 60 "${scan_in[@]}" nmap --privileged -n -Pn -O -v --max-os-tries 1 -p "$3,1" "$2" >"$live_dir/$4" 2>&1
        difficulty=$(sed -n 's/^TCP Sequence Prediction: Difficulty=\([0-9]*\) .*/\1/p' "$live_dir/$4")
        numbers=$(sed -n 's/^IP ID Sequence Generation: //p' "$live_dir/$4")
        [ -z "$difficulty" ] || [ -z "$numbers" ] || break
    done
    sed -n 's/^\(TCP Sequence\|IP ID\)/# &/p' "$live_dir/$4"
    contains "$4: nmap finds the open port" "^$3/tcp +open" "$live_dir/$4"
}

# a host that counts, behind a TUN device of its own
/usr/bin/python3 "$LIVE_SUPPORT/weak_tcp.py" weak 203.0.113.77 80 >"$live_dir/weak.log" 2>&1 &
live_pids+=("$!")
live_wait_line "$live_dir/weak.log" '^ready$' "$!" || live_die "a TUN device of our own: $(tail -n 1 "$live_dir/weak.log")"
scan client 203.0.113.77 80 counter
check "control: counters are rated easy to predict" test "${difficulty:-999}" -lt 100
equal "… and packets that are counted are seen to be" Incremental "$numbers"

scan gateway $SERVER4 "$tcp_port" kernel
check "control: the kernel's own stack is rated hard to predict" test "${difficulty:-0}" -ge 200

scan client $SERVER4 "$tcp_port" lattice
check "our stack's sequence numbers are as hard to predict" test "${difficulty:-0}" -ge 200
# six numbers without a step of more than 20 000, one time in 400, are the latter
check "… and its packets are not counted" grep -qxE 'Randomized|Random positive increments' <<<"$numbers"
live_done
