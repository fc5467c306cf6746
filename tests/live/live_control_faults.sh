#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# latticed when its disk is full, its database held by another, its auditor dead: refused with words
# that fit, counted, nothing half-written, and all is well again afterwards.
set -u
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
unshare -rm mount -t tmpfs none /mnt 2>/dev/null || { echo "SKIP: no tmpfs of one's own here"; exit 77; }
exec unshare -rm /usr/bin/python3 "$(dirname "$0")/../support/control_faults.py"
