#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: unmodified programs cannot tell. CPython's own network suites pass the same tests inside the
# sandbox as natively; each known exception is a row of tests/cases/cpython_exceptions.txt.
# LATTICE_LONG=1 runs the slow suites, too. LIVE_WITHIN=PROGRAM runs the sandbox within that wrapper
# (tests/support/dockerlike, say).
# pass: user
. "$(dirname "$0")/../support/live.sh"

PYTHON=/usr/bin/python3.11
[ -x $PYTHON ] && $PYTHON -c 'import test.test_socket' 2>/dev/null ||
    live_skip_all "CPython's test suite is not installed (package libpython3.11-testsuite)"
live_enter "$@"
ip link set lo up

suites=(test_socket test_select test_selectors test_epoll test_poll test_asyncore test_asynchat
    test_httplib test_urllib2_localnet test_ftplib test_smtplib)
[ -z "${LATTICE_LONG:-}" ] ||
    suites+=(test_ssl test_poplib test_imaplib test_httpservers test_xmlrpc test_eintr test_signal
        test_subprocess test_multiprocessing_fork test_asyncio)
IFS=' ' read -r -a within <<<"${LIVE_WITHIN:-}"

# run MODE SUITE CMD…: one suite, its results in $live_dir/tmp/MODE.SUITE.xml
run() {
    local mode=$1 suite=$2
    shift 2
    timeout -k 5 "${LIVE_SUITE_S:-280}" "${LIVE_USER[@]}" "$@" $PYTHON -m test --timeout 240 -i '*VSOCK*' -w \
        --junit-xml "$live_dir/tmp/$mode.$suite.xml" "$suite" >"$live_dir/$mode.$suite.log" 2>&1
}
inside() {
    local suite
    for suite in "${suites[@]}"; do
        run inside "$suite" "${within[@]}" "$LATTICE" sandbox start --offline \
            --audit-log "$live_dir/tmp/records" --
    done
}
inside &
inside_pid=$!
live_pids+=("$inside_pid")
for suite in "${suites[@]}"; do
    run native "$suite"
done
wait "$inside_pid"
for suite in "${suites[@]}"; do
    if result=$($PYTHON "$LIVE_SUPPORT/cpython_sets.py" "$live_dir/tmp/native.$suite.xml" \
        "$live_dir/tmp/inside.$suite.xml" "$LATTICE_SOURCE/tests/cases/cpython_exceptions.txt" 2>&1); then
        ok "$suite: ${result//$'\n'/; }"
    else
        not_ok "$suite: ${result//$'\n'/; }"
        tail -n 5 "$live_dir/inside.$suite.log" | sed 's/^/#   /'
    fi
done
live_done
