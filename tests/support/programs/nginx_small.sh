#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nginx_small.sh CA_DIR: nginx with two workers and curl on one loopback, little of each: http, TLS, HTTP/2.
here=$(dirname "$0")
. "$here/lib.sh"
/usr/bin/python3 "$here/site.py" "$DIR/root" http://127.0.0.1:8080
start nginx 'start worker process ' bash "$here/nginx.sh" "$DIR/nginx" "$DIR/root" "$1/server.pem" "$1/server.key" 8080 8443
curl=(curl -sS --fail --cacert "$1/ca.pem" --resolve www.example.test:8443:127.0.0.1)
want='{"canary": "canary-of-fetch"}'
[ "$("${curl[@]}" http://127.0.0.1:8080/small.json)" = "$want" ]
[ "$("${curl[@]}" http://[::1]:8080/small.json)" = "$want" ]
[ "$("${curl[@]}" --http1.1 https://www.example.test:8443/small.json)" = "$want" ]
[ "$("${curl[@]}" --http2 https://www.example.test:8443/small.json)" = "$want" ]
"${curl[@]}" -Z -o "many#1" "http://127.0.0.1:8080/small.json?[1-10]"
[ "$(cat many* | grep -o canary-of-fetch | wc -l)" -eq 10 ]
echo "nginx works"
