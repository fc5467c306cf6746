#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: network frameworks cannot tell. Twisted's and Tornado's own tests pass inside the sandbox where
# they pass natively: listeners, half-closes, aborted connections, datagrams, processes and their pipes,
# in each event loop. Known exceptions are rows of tests/cases/framework_exceptions.txt.
# LATTICE_LONG=1 runs some 5 000 tests; without, those of Twisted's TCP and UDP.
# pass: user
. "$(dirname "$0")/../support/live.sh"

PYTHON=/usr/bin/python3
$PYTHON -c 'import twisted.internet.test, tornado.test' 2>/dev/null ||
    live_skip_all "Twisted and Tornado are not installed (packages python3-twisted python3-tornado)"
live_enter "$@"
ip link set lo up
exceptions=$LATTICE_SOURCE/tests/cases/framework_exceptions.txt
names=$live_dir/framework_names.py
install -m 755 "$LIVE_SUPPORT/framework_names.py" "$names"

twisted=(twisted.internet.test.test_tcp twisted.test.test_udp)
tornado=()
if [ -n "${LATTICE_LONG:-}" ]; then
    twisted=(twisted.internet.test twisted.test.test_{tcp,tcp_internals,udp,unix,process,ssl,ftp,iutils}
        twisted.names.test twisted.web.test.test_{http,agent,webclient} twisted.conch.test.test_conch)
    tornado=(tornado.test.{httpclient,httpserver,iostream,netutil,simple_httpclient,tcpclient,tcpserver,websocket,process,queues}_test)
fi

# run KIND FRAMEWORK NAME…: KIND is native or inside; the names that passed in KIND.FRAMEWORK
run() {
    local kind=$1 framework=$2 box=()
    shift 2
    [ "$kind" = native ] || box=("$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/records" --)
    mkdir -p "$live_dir/tmp/$kind.d"
    chmod 777 "$live_dir/tmp/$kind.d"
    (cd "$live_dir/tmp/$kind.d" && exec timeout -k 5 "${LIVE_SUITE_S:-400}" "${LIVE_USER[@]}" "${box[@]}" $PYTHON \
        "$names" "$framework" "$live_dir/tmp/$kind.$framework" "$@") >"$live_dir/$kind.$framework.log" 2>&1
}

# lost FRAMEWORK: names that passed natively and not inside, and that no row excuses
lost() {
    comm -23 <(sort "$live_dir/tmp/native.$1") <(sort "$live_dir/tmp/inside.$1") |
        grep -vxF -f <(sed -n 's/^\([^#\t][^\t]*\)\t.*/\1/p' "$exceptions") || true
}

# frame FRAMEWORK NAME…: what is lost gets a second try by itself, for the clock is in many tests.
frame() {
    local framework=$1 missing count
    shift
    run native "$framework" "$@" || not_ok "$framework runs natively"
    run inside "$framework" "$@" || not_ok "$framework runs inside"
    touch "$live_dir/tmp/inside.$framework"
    mapfile -t missing < <(lost "$framework")
    if [ ${#missing[@]} -gt 0 ]; then
        echo "# once more: ${missing[*]}"
        cp "$live_dir/tmp/inside.$framework" "$live_dir/tmp/first"
        run inside "$framework" "${missing[@]}" || true
        cat "$live_dir/tmp/first" >>"$live_dir/tmp/inside.$framework"
        mapfile -t missing < <(lost "$framework")
    fi
    count=$(wc -l <"$live_dir/tmp/native.$framework")
    if [ "$count" -gt 0 ] && [ ${#missing[@]} -eq 0 ]; then
        ok "$framework: $count tests pass natively, and inside"
    else
        not_ok "$framework: $count tests pass natively; not inside: ${missing[*]}"
        tail -n 15 "$live_dir/inside.$framework.log" | sed 's/^/#   /'
    fi
}
frame twisted "${twisted[@]}"
[ ${#tornado[@]} -eq 0 ] || frame tornado "${tornado[@]}"
live_done
