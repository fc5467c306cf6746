#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise (A1, A2, C8): threads that change the path of connect(2), the link behind it, the name in the header of sendmsg(2),
# or the socket behind its descriptor while the call is judged reach no daemon of the host. Without
# the sandbox the same program does, in the same number of rounds.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

peer=$LIVE_SUPPORT/unix_peer.py
helpers=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}
race=$helpers/unix_race
d=$live_dir/tmp
rounds=2000
live_start daemon client '^ready$' /usr/bin/python3 "$peer" daemon "$d" "lattice-test-$$"

# visits: how many the daemon heard; a visit to another socket of its is the fence.
fences=0
visits() {
    fences=$((fences + 1))
    live_user client /usr/bin/python3 "$peer" rights "$d" "$d/host.rights" >/dev/null
    live_wait_line "$live_dir/daemon.log" "^fence $fences\$" "$live_pid_daemon"
    heard=$(grep -c '^visit ' "$live_dir/daemon.log")
}
# try WHAT HOST [WRAPPER…]
try() {
    local what=$1 host=$2
    shift 2
    visits
    local before=$heard
    live_user client "$@" "$race" "$what" "$d/own.$what" "$host" $rounds >"$live_dir/out" 2>&1
    visits
    reached=$((heard - before - 1)) # the fence is a visit, too
}
for what in connect link message swap; do
    host=$d/host.dgram
    [ $what = connect ] || [ $what = link ] && host=$d/host.sock
    try $what "$host"
    [ "$reached" -gt 0 ] && ok "outside, $what: the host is reached ($reached of $rounds)" ||
        not_ok "outside, $what: the host was never reached"
    for place in sandbox docker; do
        wrapper=()
        [ $place = docker ] && wrapper=("$helpers/dockerlike" --)
        # What docs/threat-model.md says is left open there: messages to daemons that take datagrams.
        [ $place = docker ] && [ $host = "$d/host.dgram" ] && continue
        try $what "$host" "${wrapper[@]}" "$LATTICE" sandbox start --offline --audit-log "$d/records" --
        equal "$place, $what: the host is never reached" 0 "$reached"
        contains "$place, $what: the program reached itself" '^own: [1-9]' "$live_dir/out"
    done
done
live_done
