#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# socat.sh HOST PORT [own [SECONDS]]: socat, ncat and netcat against an echo on PORT (TCP and UDP), by each of them a
# megabyte, by socat and netcat a datagram. With "own" the servers are started here first: socat's, and an ncat that listens on PORT + 1.
# SECONDS: how long a datagram's answer is waited for (1; more where LIVE_WAIT_S is more than its usual 30).
here=$(dirname "$0")
. "$here/lib.sh"
# bare HOST: without the brackets that socat wants around IPv6
bare=${1#[} bare=${bare%]} port=$2 own=${3:-} wait_s=${4:-$((${LIVE_WAIT_S:-30} / 30))}
if [ -n "$own" ]; then
    start tcp 'listening on' bash "$here/socat_echo.sh" tcp "$port"
    start udp 'receiving on|listening on|starting' bash "$here/socat_echo.sh" udp "$port"
    start ncat 'Listening on' ncat -v -l -o through-ncat.back "$bare" $((port + 1))
fi
head -c 1000000 /dev/urandom >sent
# back WHAT: what came back is what was sent
back() {
    cmp sent "$1.back" || { echo "$1: $(wc -c <"$1.back") bytes came back"; exit 1; }
}
socat -t "${LIVE_WAIT_S:-30}" - "TCP:$1:$port" <sent >socat.back
back socat
ncat "$bare" "$port" <sent >ncat.back
back ncat
nc -N "$bare" "$port" <sent >nc.back
back nc
[ "$(printf datagram | socat -t "$wait_s" - "UDP:$1:$port")" = datagram ]
[ "$(printf datagram | nc -u -w "$wait_s" "$bare" "$port")" = datagram ]
if [ -n "$own" ]; then
    nc -N "$bare" $((port + 1)) <sent
    wait "${started[ncat]}"
    back through-ncat
    nc -z "$bare" "$port"
    ! nc -z "$bare" $((port + 2))
fi
echo "socat works"
