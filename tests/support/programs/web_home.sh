#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# web_home.sh CA_DIR: nginx, curl and a reload, all on one loopback.
here=$(dirname "$0")
. "$here/lib.sh"
/usr/bin/python3 "$here/site.py" "$DIR/root" http://127.0.0.1:8080
start nginx 'start worker process ' bash "$here/nginx.sh" "$DIR/nginx" "$DIR/root" "$1/server.pem" "$1/server.key" 8080 8443
bash "$here/web_client.sh" www.example.test 8080 8443 "$1/ca.pem" 127.0.0.1
[ "$(curl -sS http://[::1]:8080/small.json)" = '{"canary": "canary-of-fetch"}' ]
# New workers take over the listeners while the old ones go.
kill -HUP "${started[nginx]}"
timeout "${LIVE_WAIT_S:-30}" grep -q 'gracefully shutting down' < <(tail -n +1 -F nginx.log 2>/dev/null)
curl -sS -o after http://127.0.0.1:8080/large
cmp after root/large
end nginx
! curl -s http://127.0.0.1:8080/ || exit 1
grep -q 'worker process .* exited with code 0' nginx.log
grep -q '"GET /large HTTP/2.0" 200 8000000' nginx/access.log
echo "nginx works"
