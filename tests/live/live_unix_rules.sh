#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise (C2, C3): a rule opens one socket of the host and no other, by the path where it really
# lies; a deny rule closes it; audit mode lets pass and marks; a moved socket is not what the rule
# meant; and no descriptor of an Internet socket comes in, whoever offers it.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

peer=$LIVE_SUPPORT/unix_peer.py
helpers=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}
name=lattice-test-$$
d=$live_dir/tmp
abstract=@$name
live_start daemon client '^ready$' /usr/bin/python3 "$peer" daemon "$d" "$name"
live_user client mkdir "$d/other"
live_user client ln -s . "$d/link"
live_user client ln -s ../host.sock "$d/other/by-link"

# visited WHAT NUMBER: the daemon has heard NUMBER visits, a fence visit from outside included.
count=0
visited() {
    count=$((count + $2 + 1))
    live_user client /usr/bin/python3 "$peer" knock "$d" "$d/host.sock" >/dev/null
    live_wait_line "$live_dir/daemon.log" "^visit $count\$" "$live_pid_daemon"
    equal "$1" "$count" "$(grep -c '^visit ' "$live_dir/daemon.log")"
}
# knock OPTIONS… -- ADDRESS…: knock from a sandbox; what was said is in $live_dir/out.
wrapper=()
knock() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    rm -f "$d/records"
    live_user client "${wrapper[@]}" "$LATTICE" sandbox start --offline --audit-log "$d/records" "${options[@]}" -- \
        /usr/bin/python3 "$peer" knock "$d" "$@" >"$live_dir/out" 2>&1
}
record() { contains "$1" "\"protocol\":\"unix\",\"verdict\":\"$2\".*\"name\":\"$3\"" "$d/records"; }

for place in sandbox docker; do
    [ $place = sandbox ] || wrapper=("$helpers/dockerlike" --)
    knock --allow "unix:$d/host.sock" -- "$d/host.sock" "$d/other/by-link" "$abstract" "=$d/host.dgram"
    equal "$place: a rule opens its socket, also through a link" 2 "$(grep -c ' ok$' "$live_dir/out")"
    contains "$place: and no abstract name" "^$abstract Connection refused" "$live_dir/out"
    contains "$place: and no other path" '^=.*Connection refused' "$live_dir/out"
    record "$place: the allowed one is recorded" allow "$d/host.sock"
    record "$place: so is the refused one" drop "$d/host.dgram"
    visited "$place: the daemon heard those two" 2
    knock --allow "unix:$abstract" --allow "unix:$d/host.dgram" -- "$abstract" "=$d/host.dgram" "$d/host.sock"
    equal "$place: rules for an abstract name and a datagram socket" 2 "$(grep -c ' ok$' "$live_dir/out")"
    visited "$place: the daemon heard those" 2
    knock --allow 'unix:/*' --allow 'unix:@*' --deny "unix:$d/*" -- "$d/host.sock" "$abstract"
    contains "$place: deny wins" '^/.*host.sock Connection refused$' "$live_dir/out"
    contains "$place: the abstract name is another matter" "^$abstract ok" "$live_dir/out"
    contains "$place: the message names the rule" "deny unix:$d/\*" "$live_dir/out"
    visited "$place: the daemon heard one" 1
done
wrapper=()

# A directory reached by links is followed when the sandbox starts, not when the program asks.
knock --allow "unix:$d/link/host.sock" -- "$d/host.sock"
contains "a rule with a link in its directory holds" ' ok$' "$live_dir/out"
visited "the daemon heard it" 1
live_user client ln "$d/host.sock" "$d/other/allowed"
knock --allow "unix:$d/other/allowed" -- "$d/other/allowed"
contains "a socket under another name than it was bound to is not what the rule meant" 'allowed Connection refused' "$live_dir/out"
contains "it says by which name it would be" "to allow it: --allow 'unix:$d/host.sock'" "$live_dir/out"
visited "the daemon heard nothing of it" 0
knock --allow "unix:$d/other/allowed" --allow "unix:$d/host.sock" -- "$d/other/allowed"
contains "with a rule for both names it is" 'allowed ok$' "$live_dir/out"
visited "the daemon heard it" 1

knock --audit -- "$d/host.sock" "$abstract"
equal "audit mode lets pass" 2 "$(grep -c ' ok$' "$live_dir/out")"
equal "and marks" 2 "$(grep -c '"would_deny":true' "$d/records")"
contains "and says" "would refuse unix $d/host.sock" "$live_dir/out"
visited "the daemon heard both" 2

# Descriptors from outside. Outside, the Internet socket arrives.
live_user client /usr/bin/python3 "$peer" rights "$d" "$d/host.rights" >"$live_dir/out"
contains "outside, the daemon hands over an Internet socket" '^rights r file,AF_INET,AF_UNIX whole$' "$live_dir/out"
live_user client "$LATTICE" sandbox start --offline --audit-log "$d/records" --allow "unix:$d/host.rights" -- \
    /usr/bin/python3 "$peer" rights "$d" "$d/host.rights" >"$live_dir/out" 2>&1
contains "inside, all but that one arrive" '^rights r file,AF_UNIX cut$' "$live_dir/out"
record "and it is recorded" drop SCM_RIGHTS
contains "and said" 'kept a descriptor from the program' "$live_dir/out"
visited "the daemon was asked twice" 2
live_start taker client '^taking$' "$LATTICE" sandbox start --offline --audit-log "$d/records" -- \
    /usr/bin/python3 "$peer" taker "$d" "$d/taker.sock"
live_user client /usr/bin/python3 "$peer" giver "$d" "$d/taker.sock" 2>/dev/null
live_wait_line "$live_dir/taker.log" '^rights' "$live_pid_taker"
equal "one who calls from outside cannot hand it in either" 'rights r file,AF_UNIX cut' "$live_line"
live_done
