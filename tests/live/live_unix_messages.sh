#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: messages between AF_UNIX sockets of a sandbox come as natively, although the supervisor
# performs the calls: each descriptor once and with its own bytes, whatever size is read; the ends
# of sockets that were passed on are seen; signals at any moment lose nothing and leave nothing open.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
helper=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}/unix_messages
[ -x "$helper" ] || live_skip_all "$helper is not built"
install -m 755 "$helper" "$live_dir/unix_messages"
helper=$live_dir/unix_messages

# compare WHAT COMMAND…: what the command says natively and inside
compare() {
    local what=$1
    shift
    live_user client timeout 60 "$@" >"$live_dir/native" 2>"$live_dir/native.err" || not_ok "natively: $what"
    live_user client timeout 60 "$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/records" -- \
        "$@" >"$live_dir/inside" 2>"$live_dir/inside.err" || not_ok "inside: $what: $(tail -n 3 "$live_dir/inside.err")"
    check "$what: inside as natively" diff "$live_dir/native" "$live_dir/inside"
}
compare "a stream in pieces" "$helper" boundary
contains "descriptors come with their own bytes" '^take 29 .* 29 sum [0-9a-f]+ flags 0 control 24 files 0$' "$live_dir/inside"
for kind in stream seqpacket dgram; do
    # shellcheck disable=SC2016
    compare "$kind, sends and receives at random" \
        bash -c 'for seed in {1..10}; do "$0" random "$1" $seed || exit; done' "$helper" $kind
    contains "$kind: there were descriptors" 'control [1-9][0-9]* files [0-9]' "$live_dir/inside"
done
compare "three processes that send to three threads" "$helper" mojo
contains "all messages and descriptors came" '^pair 2: 1500 messages, 819 descriptors, 0 faults$' "$live_dir/inside"
compare "ends of sockets that were passed on" "$helper" ends
compare "sender and receiver interrupted all the time" "$helper" signals
contains "the calls were interrupted" '^[0-9]+ signals, [1-9][0-9]* calls interrupted, [0-9]+ faults$' "$live_dir/inside.err"
live_done
