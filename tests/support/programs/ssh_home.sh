#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An ssh server and its client on one loopback, both families.
here=$(dirname "$0")
. "$here/lib.sh"
. "$here/ssh_server.sh"
ssh_keys "$DIR/keys"
start sshd 'Server listening on :: port 2222' "$(command -v sshd)" -D -e -f "$DIR/keys/sshd_config" -p 2222
bash "$here/ssh_client.sh" "$DIR/keys/ssh_config" 127.0.0.1 2222
ssh -F "$DIR/keys/ssh_config" -p 2222 ::1 true
grep -E 'Accepted publickey for .* from (127.0.0.1|::1) port' sshd.log >/dev/null
