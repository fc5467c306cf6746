# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Helpers for live tests: a small Internet in network namespaces of the test's own, real servers in
# it, real clients as an ordinary user, and results as "ok - …" lines that tools/test_report counts.
#
#   . "$(dirname "$0")/../support/live.sh"
#   live_enter "$@"          # goes on in namespaces of its own, or skips with the reason
#   live_world               # three namespaces (below), servers not yet started
#   …
#   live_done
#
# The world: the sandbox lives in `client`, which has no route to anything but the gateway's UDP port;
# the servers live in `server`. What arrives there came through the gateway, and shows its address.
#
#   client 192.0.2.1 ──── 192.0.2.2 gateway 198.51.100.2 ──── 198.51.100.1 server (DNS: .53)
#   2001:db8:a::1         2001:db8:a::2     2001:db8:c::2     2001:db8:c::1
#
# Nothing here sleeps: every wait is for a line, an end of file or an exit, with a limit.
set -uo pipefail

LIVE_SELF=$(readlink -f "$0")
LIVE_SUPPORT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LATTICE_SOURCE=${LATTICE_SOURCE:-$(cd "$LIVE_SUPPORT/../.." && pwd)}
LATTICE_BIN=${LATTICE_BIN:-$LATTICE_SOURCE/build/release/bin}
LIVE_UID=${LATTICE_TEST_UID:-1000}
LIVE_WAIT_S=${LIVE_WAIT_S:-30}
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LATTICE_SOURCE LATTICE_BIN

# shellcheck disable=SC2034 # addresses are for the scripts
{
    CLIENT4=192.0.2.1 GATEWAY4=192.0.2.2 GATEWAY_OUT4=198.51.100.2 SERVER4=198.51.100.1 DNS4=198.51.100.53
    CLIENT6=2001:db8:a::1 GATEWAY6=2001:db8:a::2 GATEWAY_OUT6=2001:db8:c::2 SERVER6=2001:db8:c::1
    METADATA4=169.254.169.254
}

live_failed=0
live_pids=()
live_dir=

# --- results

ok() {
    printf 'ok - %s\n' "$*"
}
not_ok() {
    printf 'not ok - %s\n' "$*"
    live_failed=1
}
# live_skip WHAT REASON: one part is left out; live_skip_all REASON: the whole script is.
live_skip() {
    printf 'ok - %s # SKIP %s\n' "$1" "$2"
}
live_skip_all() {
    printf 'SKIP: %s\n' "$*"
    exit 77
}
# check WHAT CMD…: CMD must succeed; its output is shown when it does not.
check() {
    local what=$1 out
    shift
    if out=$("$@" 2>&1); then
        ok "$what"
    else
        not_ok "$what (status $?: $*)"
        [ -z "$out" ] || printf '%s\n' "$out" | tail -n 20 | sed 's/^/#   /'
        return 1
    fi
}
# equal WHAT EXPECTED SEEN
equal() {
    if [ "$2" = "$3" ]; then
        ok "$1"
    else
        not_ok "$1: expected '$2', saw '$3'"
        return 1
    fi
}
# contains WHAT REGEX FILE; lacks WHAT REGEX FILE (the file must exist)
contains() {
    if grep -qE -e "$2" "$3" 2>/dev/null; then
        ok "$1"
    else
        not_ok "$1: no line matches '$2' in ${3##*/}"
        tail -n 20 "$3" 2>/dev/null | sed 's/^/#   /'
        return 1
    fi
}
lacks() {
    if [ -e "$3" ] && ! grep -qaE -e "$2" "$3"; then
        ok "$1"
    else
        not_ok "$1: '$2' is in ${3##*/}"
        return 1
    fi
}
# literally TEXT: as a regular expression that matches just it
literally() {
    sed 's/[][\.*^$+?(){}|]/\\&/g' <<<"$1"
}
live_die() {
    not_ok "$*"
    exit 1
}
live_done() {
    exit $live_failed
}

# --- entering namespaces

# live_survivors: processes that still hold a file of this test's own directory open.
live_survivors() {
    find /proc/[0-9]*/fd -lname "$live_dir/*" 2>/dev/null | cut -d/ -f3 | sort -un | grep -vx -e $$ -e $BASHPID
}
live_cleanup() {
    local status=$? pid
    trap - EXIT
    set +f
    for pid in "${live_pids[@]}"; do
        kill "$pid" 2>/dev/null
    done
    for pid in "${live_pids[@]}"; do
        wait "$pid" 2>/dev/null
    done
    if [ -n "$live_dir" ]; then
        live_survivors | while read -r pid; do
            echo "# a process was left over: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c1-120)"
            kill -KILL "$pid" 2>/dev/null
        done
        if [ -n "${LIVE_KEEP:-}" ]; then
            echo "# kept: $live_dir"
        else
            rm -rf "$live_dir"
        fi
    fi
    exit $status
}

# live_enter ARGS…: run this script again in a network namespace of its own: as root directly, as an
# ordinary user by means of a user namespace, in which the programs under test get no capability.
# With LIVE_NO_USERNS=1 user namespaces are switched off afterwards, for everything inside.
live_enter() {
    if [ "${LIVE_INSIDE:-}" != 1 ]; then
        local enter=(unshare -U --map-current-user --keep-caps -m -n)
        if [ "$(id -u)" -eq 0 ]; then
            if [ -n "${LIVE_NO_USERNS:-}" ]; then
                enter=(setpriv --reuid="$LIVE_UID" --regid="$LIVE_UID" --clear-groups "${enter[@]}")
            else
                enter=(unshare -m -n --propagation private)
            fi
        fi
        "${enter[@]}" true 2>/dev/null ||
            live_skip_all "no network namespace of our own, neither as root nor by a user namespace"
        if ! "${enter[@]}" test -r "$LIVE_SELF"; then
            live_skip_all "uid $LIVE_UID cannot read $LIVE_SELF"
        fi
        LIVE_INSIDE=1 exec "${enter[@]}" bash "$LIVE_SELF" "$@"
    fi
    unset LIVE_INSIDE
    if [ -n "${LIVE_NO_USERNS:-}" ]; then
        unshare -U true || live_die "positive control: a user namespace can be made before the switch"
        echo 0 >/proc/sys/user/max_user_namespaces
        if unshare -U true 2>/dev/null; then
            live_die "user namespaces are off"
        fi
        ok "user namespaces are off: unshare -U fails, where it worked before"
    fi
    live_dir=$(mktemp -d "${TMPDIR:-/tmp}/lattice-live.XXXXXX")
    trap live_cleanup EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkdir -p "$live_dir/home" "$live_dir/tmp"
    chmod 755 "$live_dir"
    local drop=(setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs)
    if [ "$(id -u)" -eq 0 ]; then
        chown -R "$LIVE_UID:$LIVE_UID" "$live_dir"
        drop+=(--reuid="$LIVE_UID" --regid="$LIVE_UID" --clear-groups)
    fi
    # LIVE_USER: prefix of every program under test and of every server. No capability, no new
    # privilege, nothing of our environment but how long to wait.
    LIVE_USER=("${drop[@]}" env -i "HOME=$live_dir/home" "TMPDIR=$live_dir/tmp" LANG=C.UTF-8
        "PATH=$PATH" "PYTHONUNBUFFERED=1" "LIVE_WAIT_S=$LIVE_WAIT_S" ${ASAN_OPTIONS:+"ASAN_OPTIONS=$ASAN_OPTIONS"})
    LIVE_IN_client=()
    live_tcpdump_user=()
    [ "$(id -u)" -ne 0 ] || live_tcpdump_user=(-Z root) # else it could not write where we ask it to
    # The resolver's configuration leads to our DNS server, for native runs and sandboxes alike.
    printf 'nameserver %s\noptions timeout:2 attempts:2\n' $DNS4 >"$live_dir/resolv.conf"
    mount --bind "$live_dir/resolv.conf" "$(readlink -f /etc/resolv.conf)" 2>/dev/null ||
        live_skip_all "/etc/resolv.conf cannot be covered in a mount namespace of our own"
    # shellcheck disable=SC2034
    LATTICE=$LATTICE_BIN/lattice
    [ -e "$LATTICE" ] || live_skip_all "$LATTICE is not built"
    if ! "${LIVE_USER[@]}" test -x "$LATTICE"; then
        install -m 755 "$LATTICE" "$live_dir/lattice"
        LATTICE=$live_dir/lattice
    fi
}

# live_namespace NAME: one more network namespace, held by a process that ends with us.
# Sets LIVE_IN_NAME (prefix of commands) and live_ns_NAME (its file).
live_namespace() {
    local name=$1 pid
    mkfifo "$live_dir/ns-$name"
    unshare -n sh -c 'echo up >"$1"; exec sleep infinity' hold "$live_dir/ns-$name" &
    pid=$!
    live_pids+=("$pid")
    read -r -t "$LIVE_WAIT_S" _ <"$live_dir/ns-$name" || live_die "a network namespace for $name"
    declare -ga "LIVE_IN_$name=(nsenter --net=/proc/$pid/ns/net --)"
    declare -g "live_ns_$name=$pid"
}

live_world() {
    live_namespace gateway
    live_namespace server
    ip link set lo up
    "${LIVE_IN_gateway[@]}" ip link set lo up
    "${LIVE_IN_server[@]}" ip link set lo up
    # shellcheck disable=SC2154 # set by live_namespace
    {
        ip link add tunnel type veth peer name tunnel netns "$live_ns_gateway"
        ip link add out netns "$live_ns_gateway" type veth peer name out netns "$live_ns_server"
    } || live_die "virtual links between the namespaces"
    live_address client tunnel $CLIENT4/24 $CLIENT6/64
    live_address gateway tunnel $GATEWAY4/24 $GATEWAY6/64
    live_address gateway out $GATEWAY_OUT4/24 $GATEWAY_OUT6/64
    live_address server out $SERVER4/24 $SERVER6/64 $DNS4/32 $METADATA4/32
    "${LIVE_IN_gateway[@]}" ip route add $METADATA4/32 via $SERVER4 2>/dev/null ||
        "${LIVE_IN_gateway[@]}" ip route add $METADATA4/32 dev out
    "${LIVE_IN_server[@]}" sh -c 'echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start'
}
# live_address NAMESPACE DEVICE ADDRESS…
live_address() {
    local -n enter=LIVE_IN_$1
    local device=$2 address
    shift 2
    for address; do
        case "$address" in
        *:*) "${enter[@]}" ip address add "$address" dev "$device" nodad ;;
        *) "${enter[@]}" ip address add "$address" dev "$device" ;;
        esac || live_die "address $address"
    done
    "${enter[@]}" ip link set "$device" up
}

# --- processes

# live_wait_line FILE REGEX PID: wait until a line of FILE matches, or PID has ended, or time is up.
# The line is left in $live_line.
live_wait_line() {
    local tail_pid status
    exec {live_tail}< <(exec tail -n +1 -s 0.2 --pid="$3" -F "$1" 2>/dev/null)
    tail_pid=$!
    live_line=$(timeout "$LIVE_WAIT_S" grep -aE -m1 -e "$2" <&"$live_tail")
    status=$?
    kill "$tail_pid" 2>/dev/null
    exec {live_tail}<&-
    return $status
}

# live_start NAME NAMESPACE REGEX CMD…: start a server as the ordinary user, its output in NAME.log,
# and wait for the line that says that it is ready. Its process id: live_pid_NAME.
live_start() {
    local name=$1 regex=$3
    local -n start_in=LIVE_IN_$2
    shift 3
    : >"$live_dir/$name.log"
    "${start_in[@]}" "${LIVE_USER[@]}" "$@" >>"$live_dir/$name.log" 2>&1 &
    declare -g "live_pid_$name=$!"
    live_pids+=("$!")
    if ! live_wait_line "$live_dir/$name.log" "$regex" "$!"; then
        sed 's/^/#   /' "$live_dir/$name.log" | tail -n 20
        live_die "server $name started"
    fi
}
# live_stop PID: end one process of ours and wait for it.
live_stop() {
    kill "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}
# live_user NAMESPACE CMD…: run CMD in the foreground as the ordinary user.
live_user() {
    local -n user_in=LIVE_IN_$1
    shift
    timeout -k 5 "${LIVE_LIMIT_S:-120}" "${user_in[@]}" "${LIVE_USER[@]}" "$@"
}

# --- servers

# live_ca: a certificate authority and a server certificate for www.example.test and the addresses.
live_ca() {
    local d=$live_dir/ca
    mkdir -p "$d"
    {
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=lattice test CA" \
            -keyout "$d/ca.key" -out "$d/ca.pem" &&
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=www.example.test" \
                -keyout "$d/server.key" -out "$d/server.csr" &&
            printf 'subjectAltName=DNS:www.example.test,IP:%s,IP:%s\n' $SERVER4 $SERVER6 >"$d/ext" &&
            openssl x509 -req -in "$d/server.csr" -CA "$d/ca.pem" -CAkey "$d/ca.key" -CAcreateserial -days 2 \
                -extfile "$d/ext" -out "$d/server.pem"
    } >"$d/log" 2>&1 || live_die "a certificate authority"
    chmod -R a+rX "$d"
    chmod a+r "$d"/*.key
}

# live_servers: HTTP, HTTPS, TCP and UDP echo, and git over http (tests/support/live_servers.py), in
# the namespace `server`, on ephemeral ports: http_port, https_port, tcp_port, udp_port. Requests are
# logged with the client's address in servers.log.
live_servers() {
    [ -d "$live_dir/ca" ] || live_ca
    mkdir -p "$live_dir/git"
    live_start servers server '^ready ' /usr/bin/python3 "$LIVE_SUPPORT/live_servers.py" \
        --cert "$live_dir/ca/server.pem" --key "$live_dir/ca/server.key" --git "$live_dir/git" --listen ::
    local word
    for word in ${live_line#ready }; do
        declare -g "${word?}"
    done
}
# live_git: a repository with known content under git/hello.git; git daemon on its usual port.
live_git() {
    local git=(git -c user.name=t -c user.email=t@example.test -c init.defaultBranch=main)
    (
        set -e
        export HOME=$live_dir/home GIT_CONFIG_NOSYSTEM=1
        mkdir -p "$live_dir/work" "$live_dir/git"
        cd "$live_dir/work"
        "${git[@]}" init -q .
        head -c 300000 /dev/urandom | base64 >blob
        echo "canary-of-git" >README
        "${git[@]}" add .
        "${git[@]}" commit -qm first
        "${git[@]}" clone -q --bare . "$live_dir/git/hello.git"
        touch "$live_dir/git/hello.git/git-daemon-export-ok"
        "${git[@]}" -C "$live_dir/git/hello.git" config http.receivepack false
        chmod -R a+rX "$live_dir/git"
        [ "$(id -u)" -ne 0 ] || chown -R "$LIVE_UID:$LIVE_UID" "$live_dir/git"
    ) || live_die "a git repository"
    live_start git_daemon server 'Ready to rumble' git daemon --verbose --log-destination=stderr --informative-errors \
        --listen=$SERVER4 --base-path="$live_dir/git" "$live_dir/git"
}
# live_dns: authoritative server for example.test on $DNS4 port 53, in the namespace `server`; each query
# is logged in dns.log. More records: extra dnsmasq options.
live_dns() {
    live_start dns server 'dnsmasq.*started' dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts \
        --no-daemon --log-facility=- --log-queries=extra --pid-file= --port=53 --listen-address=$DNS4 --bind-interfaces \
        --local=/test/ --host-record="www.example.test,$SERVER4,$SERVER6" \
        --host-record="v4.example.test,$SERVER4" --host-record="v6.example.test,$SERVER6" "$@"
}

# --- the tunnel

# live_keys: keys and both configurations: client.conf and gateway.conf.
# live_keys [PSK]: with a preshared key when PSK is not empty.
live_keys() {
    command -v wg >/dev/null || live_skip_all "wg (package wireguard-tools) is missing"
    local client_key gateway_key psk=${1:-}
    client_key=$(wg genkey)
    gateway_key=$(wg genkey)
    live_client_pub=$(wg pubkey <<<"$client_key")
    live_gateway_pub=$(wg pubkey <<<"$gateway_key")
    [ -z "$psk" ] || psk=$'\n'"PresharedKey = $(wg genpsk)"
    (
        umask 077
        cat >"$live_dir/gateway.conf" <<EOF
[Interface]
PrivateKey = $gateway_key
Address = 10.99.0.1/24, fd99::1/64

[Peer]
PublicKey = $live_client_pub$psk
AllowedIPs = 10.99.0.2/32, fd99::2/128
EOF
        cat >"$live_dir/client.conf.in" <<EOF
[Interface]
PrivateKey = $client_key
Address = 10.99.0.2/32, fd99::2/128
DNS = $DNS4
MTU = 1420

[Peer]
PublicKey = $live_gateway_pub$psk
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = ENDPOINT
EOF
    )
    [ "$(id -u)" -ne 0 ] || chown "$LIVE_UID:$LIVE_UID" "$live_dir/gateway.conf" "$live_dir/client.conf.in"
}
# live_client_conf ENDPOINT: client.conf for this endpoint.
live_client_conf() {
    (umask 077 && sed "s/ENDPOINT/$1/" "$live_dir/client.conf.in" >"$live_dir/client.conf")
    [ "$(id -u)" -ne 0 ] || chown "$LIVE_UID:$LIVE_UID" "$live_dir/client.conf"
}

# live_gateway OPTIONS…: keys, `lattice gateway` in the namespace `gateway`, client.conf that leads to it.
# Without options it may carry everything, the metadata address too: the sandbox's own policy is what the
# tests look at. Records: gateway.jsonl; messages: gateway.log; process: live_pid_gateway.
live_gateway() {
    [ -e "$live_dir/gateway.conf" ] || live_keys
    [ $# -gt 0 ] || set -- --allow '*:*' --allow 'udp://*:*' --allow "$METADATA4:*"
    mkfifo "$live_dir/gateway.ready"
    "${LIVE_IN_gateway[@]}" "${LIVE_USER[@]}" "$LATTICE" gateway --wg "$live_dir/gateway.conf" --verbose \
        --audit-log "$live_dir/gateway.jsonl" --ready-fd 3 "$@" \
        3>"$live_dir/gateway.ready" >"$live_dir/gateway.log" 2>&1 &
    live_pid_gateway=$!
    live_pids+=("$!")
    local line=
    read -r -t "$LIVE_WAIT_S" line <"$live_dir/gateway.ready"
    live_gateway_port=$(grep -oE '[0-9]+' <<<"$line" | tail -n 1)
    rm -f "$live_dir/gateway.ready"
    if [ -z "$live_gateway_port" ]; then
        sed 's/^/#   /' "$live_dir/gateway.log" | tail -n 20
        live_die "the gateway started (its ready line: '$line')"
    fi
    live_client_conf "$GATEWAY4:$live_gateway_port"
}

# sandbox OPTIONS… -- CMD…: `lattice sandbox start` through the tunnel, as the ordinary user, in the
# namespace `client`. Records: sandbox.jsonl (appended).
sandbox() {
    live_user client "${LIVE_OUTER[@]}" "$LATTICE" sandbox start --wg "$live_dir/client.conf" \
        --audit-log "$live_dir/sandbox.jsonl" "$@"
}
# LIVE_OUTER: a box around the sandbox (tests/support/dockerlike), empty by default.
LIVE_OUTER=()

# live_capture: record everything that passes the client's only link. live_capture_end: to text.
live_capture() {
    tcpdump "${live_tcpdump_user[@]}" -i tunnel -n -U -s 0 -w "$live_dir/tunnel.pcap" >"$live_dir/tcpdump.log" 2>&1 &
    live_pid_tcpdump=$!
    live_pids+=("$!")
    live_wait_line "$live_dir/tcpdump.log" 'listening on' "$!" || live_die "tcpdump listens"
}
live_capture_end() {
    kill -INT "$live_pid_tcpdump"
    wait "$live_pid_tcpdump"
    tcpdump -n -r "$live_dir/tunnel.pcap" >"$live_dir/tunnel.txt" 2>/dev/null
}
