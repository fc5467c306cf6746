#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Enrolled sandboxes, a gateway that follows latticed, delegation from inside, revocation.
set -u
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
[ -x "${LATTICE_BIN}/lattice" ] || { echo "SKIP: lattice is not built"; exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/../support/enroll.py"
