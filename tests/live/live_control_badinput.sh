#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# latticed and what is wrong: refused requests leave the database as it was, a seeded storm of broken
# requests finds no 5xx and no dead server, floods and slow clients meet their limits.
set -u
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/../support/control_badinput.py" "$@"
