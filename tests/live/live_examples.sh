#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: the examples run as they stand: the first sandbox, the tunnel's files, the policy file.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
# shellcheck disable=SC2154 # set by live_servers
live_world
live_servers
examples=$LATTICE_SOURCE/examples

live_user gateway env "LATTICE=$LATTICE" bash "$examples/first-sandbox.sh" "http://$SERVER4:$http_port/small" >"$live_dir/out" 2>"$live_dir/err"
equal "first-sandbox.sh: exit status" 0 $? || cat "$live_dir/err"
contains "… the page came" 'plaintext-canary-7d1f' "$live_dir/out"
contains "… one decision allows" '"verdict":"allow"' "$live_dir/out"
contains "… one refuses" '"verdict":"drop"' "$live_dir/out"
equal "… the server saw one connection" 1 "$(grep -c '^accept http ' "$live_dir/servers.log")"

check "make-tunnel.sh" live_user client bash "$examples/make-tunnel.sh" "$live_dir/tmp/tunnel" $GATEWAY4 51820
equal "… its files are the owner's alone" "600 600" "$(stat -c %a "$live_dir/tmp/tunnel/"*.conf | xargs)"
cp -p "$live_dir/tmp/tunnel/gateway.conf" "$live_dir/gateway.conf"
: >"$live_dir/client.conf.in"
live_gateway --allow '*:*'
check "… a sandbox reaches the server through it" live_user client "$LATTICE" sandbox start --wg "$live_dir/tmp/tunnel/sandbox.conf" \
    --audit-log "$live_dir/sandbox.jsonl" --allow "$SERVER4:$http_port" -- curl -sS "http://$SERVER4:$http_port/small"
contains "… which saw the gateway" "^http $GATEWAY_OUT4 GET /small" "$live_dir/servers.log"

check "policy.json is accepted" live_user client "$LATTICE" sandbox start --offline --policy "$examples/policy.json" --audit-log "$live_dir/tmp/records" -- true
live_done
