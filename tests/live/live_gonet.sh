#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: a runtime that brings its own sockets layer cannot tell either. The tests of Go's package net
# (its own source, compiled here) that need no other machine pass inside as they do natively; what is
# known to differ is named below. LATTICE_LONG=1: with loopback relayed, too. What was lost is run once more.
# pass: user
. "$(dirname "$0")/../support/live.sh"

command -v go >/dev/null || live_skip_all "go is not installed (package golang-go)"
source=$(go env GOROOT 2>/dev/null)/src/net
[ -e "$source/udpsock_test.go" ] || live_skip_all "Go's own tests are not installed (package golang-src)"
live_enter "$@"
ip link set lo up
known=(TestWriteToUDP) # plain write on a UDP socket without a destination: docs/compatibility.md

(cd "$source" && live_user client env GOCACHE="$live_dir/tmp/cache" GO111MODULE=off GOTOOLCHAIN=local GOFLAGS= \
    go test -c -o "$live_dir/tmp/net.test" net >"$live_dir/out" 2>&1) || live_die "go test -c net: $(tail -n 5 "$live_dir/out")"
rm -rf "$live_dir/tmp/cache"

# run NAME PREFIX…: the names of what passed, subtests too, in NAME; all output in NAME.log
run() {
    local name=$live_dir/$1
    shift
    (cd "$source" && live_user client "$@" "$live_dir/tmp/net.test" -test.short -test.v -test.timeout 100s >"$name.log" 2>&1)
    sed -nE 's/^ *--- PASS: ([^ ]+) .*/\1/p' "$name.log" | sort >"$name"
}
start=("$LATTICE" sandbox start --offline --audit-log "$live_dir/tmp/records")
# lost NAME: what passed natively and not there
lost() {
    comm -23 "$live_dir/native" "$live_dir/$1" | grep -vxF "$(printf '%s\n' "${known[@]}")"
}
# judge NAME OPTIONS…
judge() {
    local name=$1 missing again
    shift
    run "$name" "${start[@]}" "$@" --
    missing=$(lost "$name")
    if [ -n "$missing" ]; then
        echo "# $name, once more: $(tr '\n' ' ' <<<"$missing")"
        run "$name-again" "${start[@]}" "$@" --
        again=$(lost "$name-again")
        missing=$(comm -12 <(printf '%s\n' "$missing") <(printf '%s\n' "$again") | sed '/^$/d')
    fi
    equal "$name: $(wc -l <"$live_dir/$name") of $(wc -l <"$live_dir/native") tests that pass natively pass inside" "" "$missing" ||
        tail -n 20 "$live_dir/$name.log" | sed 's/^/#   /'
}

run native
[ "$(wc -l <"$live_dir/native")" -ge 250 ]
equal "natively most of Go's net tests pass" 0 $? || tail -n 20 "$live_dir/native.log" | sed 's/^/#   /'
judge inside
[ -z "${LATTICE_LONG:-}" ] || judge relayed --loopback relay
live_done
