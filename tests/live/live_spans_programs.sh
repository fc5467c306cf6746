#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Promise: every program is a span below its parent, with arguments and end; a server's work belongs to the call that caused it.
set -u
[ -x "${LATTICE_BIN:?}/lattice" ] || { echo "SKIP: lattice is not built"; exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/../support/spans_programs.py"
