#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# chromium.sh URL CA: load a page, run its script (6 fetches), print the document as it is then. The
# browser's own sandbox is off: it wants a user namespace, or a setuid helper. (--headless=old would be lighter,
# and is gone.)
set -e
mkdir -p "$DIR/.pki/nssdb"
certutil -d "sql:$DIR/.pki/nssdb" -N --empty-password
certutil -d "sql:$DIR/.pki/nssdb" -A -n test -t C,, -i "$2"
HOME=$DIR exec timeout $((2 * ${LIVE_WAIT_S:-30})) chromium --headless --no-sandbox --disable-gpu --user-data-dir="$DIR/profile" --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --virtual-time-budget=20000 --dump-dom "$1"
