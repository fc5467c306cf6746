#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# lattice-mcp serves latticed's tools to MCP clients; what changes something needs a person's approval.
set -u
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/../support/mcp_tools.py"
