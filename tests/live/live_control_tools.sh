#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# latticed's own tools over REST, as an agent and as the administrator: results, refusals, snapshots.
set -u
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/../support/control_tools.py"
