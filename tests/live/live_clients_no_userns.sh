#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: what live_clients.sh shows needs no user namespaces either: the same with
# user.max_user_namespaces=0, set in (and only in) a user namespace of the test's own.
export LIVE_NO_USERNS=1
. "$(dirname "$0")/../support/live.sh"
. "$(dirname "$0")/../support/live_clients.inc"
live_enter "$@"
clients_all
live_done
