#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ssh_client.sh CONFIG HOST PORT: a command, its status, a copy both ways, a forwarded port.
set -euo pipefail
config=$1 host=$2 port=$3
ssh=(ssh -F "$config" -p "$port")
cd "$DIR"
at=$host:
[[ $host != *:* ]] || at="[$host]:"
[ "$("${ssh[@]}" "$host" 'echo "over ssh"; exit 0')" = "over ssh" ]
status=0
"${ssh[@]}" "$host" 'exit 7' || status=$?
[ $status -eq 7 ]
head -c 3000000 /dev/urandom >sent
scp -q -F "$config" -P "$port" sent "$at$DIR/there" 2>err || { cat err; exit 1; }
scp -q -F "$config" -P "$port" "$at$DIR/there" back
cmp sent back
"${ssh[@]}" "$host" cat "$DIR/there" | cmp - sent
"${ssh[@]}" "$host" "cat >$DIR/piped" <sent
cmp sent piped
# A forwarded port, to the ssh server itself: its banner must come through both.
mkfifo log
"${ssh[@]}" -v -N -L "127.0.0.1:2299:127.0.0.1:$port" "$host" 2>log &
forward=$!
exec 3<log
timeout "${LIVE_WAIT_S:-30}" grep -q 'Entering interactive session' <&3
exec 4<>/dev/tcp/127.0.0.1/2299
IFS= read -r -t "${LIVE_WAIT_S:-30}" banner <&4
kill $forward
wait $forward || true
case "$banner" in SSH-2.0-*) ;; *) exit 1 ;; esac
echo "ssh works"
