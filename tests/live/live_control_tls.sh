#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# latticed with TLS: a client that trusts the test's CA is served, any other and plain HTTP are not;
# plain HTTP beyond loopback is refused unless forced.
set -u
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
command -v openssl >/dev/null && command -v curl >/dev/null || { echo "SKIP: openssl or curl is missing"; exit 77; }
exec /usr/bin/python3 "$(dirname "$0")/../support/control_tls.py"
