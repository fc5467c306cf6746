#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: one program (tests/differ) run natively and inside a sandbox says the same line for line:
# what its calls on TCP, UDP and ping sockets return, and what poll and epoll tell. Its peers are the same
# native server; loopback is tried directly and relayed. And it says the same where a container's
# profile denies pidfd_getfd, or process_vm_* and ptrace as well (tests/support/dockerlike.c).
# Known differences are rows of tests/cases/differential_exceptions.txt, and for the boxes of
# differential_exceptions_boxed.txt as well, each with its reason.
# DIFFER_CASES='A B' runs only these, DIFFER_BOXES='none box harsh' only in these places.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
ip link set lo up
# Ping sockets for the user's group; where this cannot be set both sides say EACCES.
group=$LIVE_UID
[ "$(id -u)" -eq 0 ] || group=$(id -g)
echo "$group $group" 2>/dev/null >/proc/sys/net/ipv4/ping_group_range
helpers=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}
for program in differ dockerlike; do
    [ -x "$helpers/$program" ] || live_skip_all "$helpers/$program is not built"
    install -m 755 "$helpers/$program" "$live_dir/$program"
done
differ=$live_dir/differ
out=$live_dir/tmp
boxes=${DIFFER_BOXES:-none box harsh}
IFS=' ' read -r -a within <<<"${LIVE_WITHIN:-}"

live_start serve client '^ready ' "$differ" serve
for word in ${live_line#ready }; do
    declare "${word?}"
    LIVE_USER+=("$word")
done
IFS=' ' read -r -a cases <<<"${DIFFER_CASES:-$("$differ" list | xargs)}"
local_cases=()
for name in "${cases[@]}"; do
    case $name in
    loopback_*) local_cases+=("$name") ;;
    esac
done

# compare PREFIX OPTIONS… -- CASES…: what the cases say in a sandbox with these options, in $place
compare() {
    local prefix=$1 options=()
    shift
    while [ "$1" != -- ]; do options+=("$1") && shift; done
    shift
    live_user client "${within[@]}" "${box[@]}" "$LATTICE" sandbox start --direct --allow "127.0.0.1:$TCP" \
        --allow "127.0.0.1:$CLOSED" --allow "udp://127.0.0.1:$UDP" --allow "udp://127.0.0.1:$UDP_CLOSED" \
        --audit-log "$out/records" "${options[@]}" -- "$differ" "$@" >"$out/inside" 2>"$out/err" ||
        not_ok "$place${prefix}sandbox: status $?: $(tail -n 3 "$out/err")"
    /usr/bin/python3 "$LIVE_SUPPORT/differ_compare.py" "$place" "$out/native" "$out/inside" "$prefix" \
        "${rows[@]}" || live_failed=1
}
everywhere() {
    compare "" -- "${cases[@]}"
    [ ${#local_cases[@]} -eq 0 ] || compare "${other}_" --loopback "${other%ed}" -- "${local_cases[@]}"
}

live_user client "$differ" "${cases[@]}" >"$out/native" 2>&1
rows=("$LATTICE_SOURCE/tests/cases/differential_exceptions.txt")
box=() place= other=relayed
[[ " $boxes " != *" none "* ]] || everywhere
rows+=("$LATTICE_SOURCE/tests/cases/differential_exceptions_boxed.txt")
box=("$live_dir/dockerlike" --) place="in a box: " other=direct # there the relay is the default
[[ " $boxes " != *" box "* ]] || everywhere
box=("$live_dir/dockerlike" --harsh --) place="in a harsh box: "
[[ " $boxes " != *" harsh "* ]] || everywhere
live_done
