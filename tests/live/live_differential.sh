#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: one program (tests/differ) run natively and inside a sandbox says the same line for line:
# what its calls on TCP and UDP sockets return, and what poll and epoll tell. Its peers are the same
# native server; loopback is tried directly and relayed. Known differences are rows of tests/cases/differential_exceptions.txt, each with its
# reason. DIFFER_CASES='A B' runs only these.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
ip link set lo up
differ=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}/differ
[ -x "$differ" ] || live_skip_all "$differ is not built"
install -m 755 "$differ" "$live_dir/differ"
differ=$live_dir/differ
out=$live_dir/tmp
IFS=' ' read -r -a within <<<"${LIVE_WITHIN:-}"

live_start serve client '^ready ' "$differ" serve
for word in ${live_line#ready }; do
    declare "${word?}"
    LIVE_USER+=("$word")
done
cases=(${DIFFER_CASES:-$("$differ" list)})
# inside NAME CASE OPTIONS…: what the case says in a sandbox, in NAME.inside
inside() {
    local as=$1 name=$2
    shift 2
    live_user client "${within[@]}" "$LATTICE" sandbox start --direct --allow "127.0.0.1:$TCP" \
        --allow "127.0.0.1:$CLOSED" --allow "udp://127.0.0.1:$UDP" --allow "udp://127.0.0.1:$UDP_CLOSED" \
        --audit-log "$live_dir/tmp/records" "$@" -- "$differ" "$name" >"$out/$as.inside" 2>"$out/$as.err" ||
        echo "status $?" >>"$out/$as.inside"
}
compared=()
for name in "${cases[@]}"; do
    live_user client "$differ" "$name" >"$out/$name.native" 2>&1
    inside "$name" "$name"
    compared+=("$name")
    case $name in
    loopback_urgent*) ;; # urgent data is data behind a relay: tcp_urgent
    loopback_*)
        cp "$out/$name.native" "$out/relayed_$name.native"
        inside "relayed_$name" "$name" --loopback relay
        compared+=("relayed_$name")
        ;;
    esac
done
/usr/bin/python3 "$LIVE_SUPPORT/differ_compare.py" "$out" "$LATTICE_SOURCE/tests/cases/differential_exceptions.txt" \
    "${compared[@]}" || live_failed=1
live_done
