#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise (C3): daemons of the host that listen on AF_UNIX sockets, by path, by link, by abstract name
# or for datagrams, are out of the agent's reach; sockets of the sandbox's own work. Each knock is
# first made outside, where the daemon hears it.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

peer=$LIVE_SUPPORT/unix_peer.py
name=lattice-test-$$
visits() { grep -c '^visit ' "$live_dir/daemon.log"; }

live_start daemon client '^ready$' /usr/bin/python3 "$peer" daemon "$live_dir/tmp" "$name"

live_user client /usr/bin/python3 "$peer" visit "$live_dir/tmp" "$name" >"$live_dir/outside" 2>&1
equal "outside, all is reachable" 9 "$(grep -c ' ok$' "$live_dir/outside")"
live_wait_line "$live_dir/daemon.log" '^visit 5$' "$live_pid_daemon"
contains "outside, a descriptor can be sent to a name" '^rights passed$' "$live_dir/outside"
contains "outside, the sender's name is seen" '^name seen$' "$live_dir/outside"
equal "outside, the daemon heard every knock" 5 "$(visits)"

# inside WHAT WRAPPER…: the same behind the walls.
inside() {
    local what=$1
    shift
    live_user client "$@" "$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/records" -- \
        /usr/bin/python3 "$peer" visit "$live_dir/tmp" "$name" >"$live_dir/inside" 2>&1
    equal "$what: no daemon of the host is reachable" 5 \
        "$(grep -c '^host-.* Connection refused$' "$live_dir/inside")" || cat "$live_dir/inside"
    equal "$what: the sandbox's own sockets are" 4 "$(grep -c '^own-.* ok$' "$live_dir/inside")" ||
        cat "$live_dir/inside"
    contains "$what: a missing path is missing" '^missing No such file' "$live_dir/inside"
    contains "$what: the sender's name is seen" '^name seen$' "$live_dir/inside"
    equal "$what: the daemon heard nothing" 5 "$(visits)"
}
inside "sandbox"
contains "sandbox: a descriptor is sent to a name of its own" '^rights passed$' "$live_dir/inside"
equal "sandbox: each refusal has its record" 5 \
    "$(grep -c '"kind":"decision".*"protocol":"unix","verdict":"drop".*"reason":"no_rule"' "$live_dir/tmp/records")"
contains "sandbox: a refusal says what would allow it" \
    "^lattice: refused unix .*/host.sock for .*: no rule allows it; to allow it: --allow 'unix:.*/host.sock'\$" "$live_dir/inside"
helpers=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}
inside "as in Docker" "$helpers/dockerlike" --
contains "as in Docker: no descriptor is sent to a name" '^rights Operation not permitted$' "$live_dir/inside"
live_done
