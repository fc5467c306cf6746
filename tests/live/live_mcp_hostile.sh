#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Hostile MCP servers behind the gateway cost neither time nor memory, and no call stays unanswered.
set -u
[ -x "${LATTICE_BIN:?}/lattice-mcp" ] || { echo "SKIP: lattice-mcp is not built"; exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/../support/mcp_hostile.py"
