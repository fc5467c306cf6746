#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# pip.sh URL CA: a package and the one it depends on, from the index at URL/pip.
set -e
/usr/bin/python3 -m pip install --no-cache-dir --disable-pip-version-check --retries 1 --target "$DIR/site" \
    --index-url "$1/pip/simple/" --cert "$2" --trusted-host "$(cut -d/ -f3 <<<"$1" | cut -d: -f1)" demo
[ "$(PYTHONPATH=$DIR/site /usr/bin/python3 -c 'import demo, demodep; print(demo.CANARY, demodep.CANARY)')" = "canary-of-demo canary-of-demodep" ]
echo "pip works"
