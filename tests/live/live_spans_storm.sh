#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Promise: kill -9 of auditor, nats-server and latticed loses and doubles no record; verify finds every change.
set -u
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
[ -x "${LATTICE_BIN}/lattice" ] || { echo "SKIP: lattice is not built"; exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/../support/spans_storm.py"
