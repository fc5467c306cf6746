#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# iperf3.sh HOST PORT [own]: TCP and UDP, both directions, parallel; each must have moved bytes and said so
# on both sides. With "own" the server is started here first. What LIVE_WAIT_S is more than its usual 30 makes
# runs longer, and the bytes that are expected fewer.
here=$(dirname "$0")
. "$here/lib.sh"
[ -z "${3:-}" ] || start iperf3 'Server listening on' iperf3 -s -p "$2" --forceflush
# run WHAT OPTIONS…: at least a megabyte (by UDP: 50 datagrams, of 250; a busy machine loses some) arrived at the receiver
run() {
    local what=$1
    shift
    iperf3 -c "$host" -p "$port" -J "$@" >"$what.json" || { echo "$what:"; tail -n 5 "$what.json"; exit 1; }
    /usr/bin/python3 - "$what" "$what.json" $slow <<'E2'
import json, sys
end = json.load(open(sys.argv[2]))["end"]
if "sum" in end:  # UDP
    got = end["sum"]["packets"] - end["sum"]["lost_packets"]
    sys.exit(f"{sys.argv[1]}: {end['sum']}" if got < 50 else 0)
sys.exit(f"{sys.argv[1]}: {end['sum_received']}" if end["sum_received"]["bytes"] < 1_000_000 / int(sys.argv[3]) else 0)
E2
}
host=$1 port=$2
slow=$((${LIVE_WAIT_S:-30} / 30 > 1 ? ${LIVE_WAIT_S:-30} / 30 : 1))
run tcp -n $((50 / slow))M
run tcp-reverse -n $((50 / slow))M -R
run tcp-parallel -t $slow -P 4 # with -n, the first streams to end would end all
run tcp-bidir -t $slow --bidir
run udp -u -b 4M -l 1200 -n 300K
run udp-reverse -u -b 4M -l 1200 -n 300K -R
run udp-parallel -u -b 4M -l 1200 -n 100K -P 3
echo "iperf3 works"
