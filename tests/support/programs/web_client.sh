#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# web_client.sh HOST HTTP_PORT HTTPS_PORT CA [ADDRESS]: (with ADDRESS: of HOST) curl's ways to fetch a large file from nginx: alone, thirty at once,
# by ranges, through its proxy, by TLS, by HTTP/2.
set -e
cd "$DIR"
http=http://$1:$2 https=https://$1:$3
curl=(curl -sS --no-progress-meter --fail --cacert "$4")
[ -z "${5:-}" ] || curl+=(--resolve "$1:$2:$5" --resolve "$1:$3:$5")
"${curl[@]}" -o whole "$http/large"
[ "$(wc -c <whole)" = 8000000 ]
"${curl[@]}" -Z --parallel-max 30 -o "many#1" "$http/large?[1-30]"
for n in $(seq 30); do cmp whole "many$n"; done
"${curl[@]}" -r 1000000-1999999 "$http/large" | cmp - <(tail -c +1000001 whole | head -c 1000000)
"${curl[@]}" "$http/proxy/large" | cmp - whole
"${curl[@]}" "$https/large" | cmp - whole
[ "$("${curl[@]}" --http2 -o two -w '%{http_version}' "$https/large")" = 2 ]
cmp two whole
"${curl[@]}" --http2 -Z -o "h2#1" "$https/large?[1-10]"
for n in $(seq 10); do cmp whole "h2$n"; done
echo "web works"
