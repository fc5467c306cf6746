#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Promise: an enrolled agent's records reach latticed by NATS, and nobody publishes in another's name.
set -u
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/../support/spans_nats.py"
