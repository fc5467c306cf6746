#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# latticed and its nats-server: records by the stream, deaths of either.
set -u
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/../support/control_nats.py"
