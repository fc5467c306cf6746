#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of latticed at random moments under load: what was acknowledged is there, nothing is half
# there, no token is redeemed twice, a repeated request gets its answer. LATTICE_LONG=1: 200 kills.
set -u
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/../support/control_crash.py"
