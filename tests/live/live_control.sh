#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# latticed over HTTP: each route, bad input, races, revocation that outlives kill -9.
set -u
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/../support/control_rest.py"
