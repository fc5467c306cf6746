#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A first sandbox, without a tunnel: the same command with and without a rule that allows its
# destination, and what was recorded.
#
# usage: examples/first-sandbox.sh http://HOST:PORT/PATH
set -euo pipefail
[ $# -eq 1 ] || {
    sed -n 's/^# usage:/usage:/p' "$0" >&2
    exit 2
}
url=$1
lattice=${LATTICE:-$(dirname "$0")/../build/release/bin/lattice}
destination=$(sed -E 's,^[a-z]+://([^/]+).*,\1,' <<<"$url")
records=$(mktemp)
trap 'rm -f "$records"' EXIT

echo "allowed: --allow '$destination'"
"$lattice" sandbox start --direct --allow "$destination" --audit-log "$records" -- curl -sS "$url"

echo "denied: no rule"
if "$lattice" sandbox start --direct --audit-log "$records" -- curl -sS "$url"; then
    echo "this should not have been possible" >&2
    exit 1
fi

echo "recorded:"
grep '"kind":"decision"' "$records"
