#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: what live_cpython.sh shows needs no user namespaces: a suite of sockets and one of processes with
# user.max_user_namespaces=0, set in (and only in) a user namespace of the test's own; all of them with
# LATTICE_LONG=1.
# pass: user
export LIVE_NO_USERNS=1
[ -n "${LATTICE_LONG:-}" ] || export CPYTHON_SUITES=${CPYTHON_SUITES:-test_select test_epoll}
exec bash "$(dirname "$0")/live_cpython.sh"
