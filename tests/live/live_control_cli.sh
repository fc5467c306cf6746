#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The commands that talk to latticed: lattice login, token, agent, delegate.
set -u
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/../support/control_cli.py"
