#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: unmodified programs cannot tell. CPython's own network and process suites pass the same tests
# inside the sandbox as natively; each known exception is a row of tests/cases/cpython_exceptions.txt.
# With loopback relayed (--loopback relay) test_socket and test_ssl pass without any exception.
# Two workers for each side, so that the suites, which mostly wait, are through in a few minutes; what was
# lost in that crowd is run again by itself, twice at most, and all runs count.
# LATTICE_LONG=1 also runs all within what Docker's profile refuses (boxed), where loopback is relayed by
# itself, and the delicate ones where process_vm_* and ptrace are refused as well (harsh): no exception.
# CPYTHON_SUITES='A B' runs only these, CPYTHON_PLACES='inside relayed boxed harsh' each of them there (inside
# alone unless told). LIVE_WITHIN=PROGRAM runs the sandbox within that wrapper (tests/support/dockerlike, say),
# LIVE_NO_USERNS=1 without user namespaces (live_cpython_no_userns.sh).
# pass: user
. "$(dirname "$0")/../support/live.sh"

PYTHON=/usr/bin/python3.11
[ -x $PYTHON ] && $PYTHON -c 'import test.test_socket' 2>/dev/null ||
    live_skip_all "CPython's test suite is not installed (package libpython3.11-testsuite)"
live_enter "$@"
ip link set lo up
live_namespace second # native suites of the second worker: ports of its own
"${LIVE_IN_second[@]}" ip link set lo up

# Of about the same length, natively.
first=(test_asyncio test_signal test_subprocess test_selectors test_poll test_ftplib test_asyncore)
second=(test_multiprocessing_fork test_imaplib test_xmlrpc test_socket test_ssl test_poplib test_eintr
    test_httpservers test_urllib2_localnet test_select test_httplib test_smtplib test_asynchat test_epoll)
relayed=(test_socket test_ssl)
delicate=(test_socket test_select test_selectors test_epoll test_poll test_ssl test_asyncio)
places=${CPYTHON_PLACES:-inside}
if [ -n "${CPYTHON_SUITES:-}" ]; then
    first=() second=()
    for suite in $CPYTHON_SUITES; do # in turn
        if [ ${#first[@]} -le ${#second[@]} ]; then
            first+=("$suite")
        else
            second+=("$suite")
        fi
    done
    relayed=("${first[@]}" "${second[@]}")
    delicate=("${relayed[@]}")
elif [ -z "${CPYTHON_PLACES:-}" ]; then
    places="inside relayed${LATTICE_LONG:+ boxed harsh}"
    [ -z "${LIVE_NO_USERNS:-}" ] || places=inside
fi
# asked_for PLACE
asked_for() {
    [[ " $places " == *" $1 "* ]]
}
IFS=' ' read -r -a within <<<"${LIVE_WITHIN:-}"
box=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}/dockerlike
if asked_for boxed || asked_for harsh; then
    [ -x "$box" ] || live_die "$box is built"
    install -m 755 "$box" "$live_dir/dockerlike"
    box=$live_dir/dockerlike
fi

suite_s=${LIVE_SUITE_S:-600} # CPython lengthens its tests' own limits with it
# run KIND SUITE CMD…: one suite, its results in $live_dir/tmp/KIND.SUITE.xml
run() {
    local kind=$1 suite=$2 began=$SECONDS
    shift 2
    timeout -k 5 "$suite_s" "$@" $PYTHON -m test --timeout $((suite_s - 40)) -i '*VSOCK*' -w \
        --junit-xml "$live_dir/tmp/$kind.$suite.xml" "$suite" >"$live_dir/$kind.$suite.log" 2>&1
    echo "# $kind $suite: status $?, $((SECONDS - began)) s"
}
# inside KIND SUITE: the suite in a sandbox; KIND says how.
inside() {
    local start=("$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/records.$BASHPID")
    case $1 in
    relayed*) run "$1" "$2" "${LIVE_USER[@]}" "${within[@]}" "${start[@]}" --loopback relay -- ;;
    boxed*) run "$1" "$2" "${LIVE_USER[@]}" "$box" -- "${start[@]}" -- ;;
    harsh*) run "$1" "$2" "${LIVE_USER[@]}" "$box" --harsh -- "${start[@]}" -- ;;
    *) run "$1" "$2" "${LIVE_USER[@]}" "${within[@]}" "${start[@]}" -- ;;
    esac
}
each() {
    local kind=$1 suite
    shift
    asked_for "$kind" || return 0
    for suite; do
        inside "$kind" "$suite"
    done
}
natively() {
    local -n native_in=LIVE_IN_$1
    local suite
    shift
    for suite; do
        run native "$suite" "${native_in[@]}" "${LIVE_USER[@]}"
    done
}
workers=()
natively client "${first[@]}" &
workers+=($!)
natively second "${second[@]}" &
workers+=($!)
{ each inside "${first[@]}"; each relayed "${relayed[@]}"; each boxed "${first[@]}"; } &
workers+=($!)
{ each inside "${second[@]}"; each boxed "${second[@]}"; each harsh "${delicate[@]}"; } &
workers+=($!)
live_pids+=("${workers[@]}")
wait "${workers[@]}"

compare() {
    $PYTHON "$LIVE_SUPPORT/cpython_sets.py" "$live_dir/tmp/native.$2.xml" "$live_dir/tmp/$1.$2.xml" "$3" "${@:4}" 2>&1
}
# judge KIND EXCEPTIONS SUITE…
judge() {
    local kind=$1 exceptions=$2 suite result try more
    shift 2
    asked_for "$kind" || return 0
    for suite; do
        more=()
        for try in "" second third; do
            if [ -n "$try" ]; then
                echo "# $kind $suite, once more: ${result//$'\n'/; }"
                [ -s "$live_dir/tmp/native.$suite.xml" ] || natively client "$suite" # its time was up
                inside "$kind-$try" "$suite"
                more+=("$live_dir/tmp/$kind-$try.$suite.xml")
            fi
            if result=$(compare "$kind" "$suite" "$exceptions" "${more[@]}"); then
                ok "$kind $suite: ${result//$'\n'/; }${try:+ (at the $try try)}"
                continue 2
            fi
        done
        not_ok "$kind $suite: ${result//$'\n'/; }"
        tail -n 60 "$live_dir/$kind-$try.$suite.log" | sed 's/^/#   /'
    done
}
exceptions=$LATTICE_SOURCE/tests/cases/cpython_exceptions.txt
judge inside "$exceptions" "${first[@]}" "${second[@]}"
judge relayed /dev/null "${relayed[@]}"
judge boxed /dev/null "${first[@]}" "${second[@]}"
judge harsh /dev/null "${delicate[@]}"
live_done
