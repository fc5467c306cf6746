#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: ordinary clients, unmodified, run as an ordinary user without any capability, reach real
# servers through sandbox → lwIP → WireGuard → gateway; the servers see the gateway's address; on the
# way nothing but WireGuard datagrams passes, and no plaintext.
# First each client runs without the sandbox beside the gateway (servers and commands are right), and
# without the sandbox on the client's side (there is no other way out).
. "$(dirname "$0")/../support/live.sh"
. "$(dirname "$0")/../support/live_clients.inc"
live_enter "$@"
clients_all
live_done
