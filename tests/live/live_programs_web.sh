#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: nginx, npm, pip and Chromium work in the sandbox as they do natively.
# pass: user
. "$(dirname "$0")/../support/live.sh"
. "$LIVE_SUPPORT/live_programs.inc"
programs_begin "$@"

url=http://www.example.test:8080
live_user server /usr/bin/python3 "$PROGRAMS_SUPPORT/site.py" "$live_dir/tmp/site" $url || live_die "a site"
live_start nginx server 'start worker process ' bash "$PROGRAMS_SUPPORT/nginx.sh" "$live_dir/tmp/nginx" "$live_dir/tmp/site" \
    "$live_dir/ca/server.pem" "$live_dir/ca/server.key" 8080 8443

if programs_need nginx nginx curl; then
    abroad "nginx over IPv4" '^web works' bash "$PROGRAMS_SUPPORT/web_client.sh" $SERVER4 8080 8443 "$live_dir/ca/ca.pem"
    abroad "nginx over IPv6" '^web works' bash "$PROGRAMS_SUPPORT/web_client.sh" "[$SERVER6]" 8080 8443 "$live_dir/ca/ca.pem"
    at_home "nginx and curl" '^nginx works' bash "$PROGRAMS_SUPPORT/web_home.sh" "$live_dir/ca"
fi
if programs_need npm npm node curl; then
    abroad "npm ci" '^npm works' bash "$PROGRAMS_SUPPORT/npm.sh" $url
fi
if programs_need pip pip3; then
    abroad "pip over http" '^pip works' bash "$PROGRAMS_SUPPORT/pip.sh" $url "$live_dir/ca/ca.pem"
    abroad "pip over https" '^pip works' bash "$PROGRAMS_SUPPORT/pip.sh" https://www.example.test:8443 "$live_dir/ca/ca.pem"
fi
if programs_need chromium chromium certutil; then
    done_text='canary-of-fetch canary-of-fetch 32000000 bytes'
    abroad "Chromium, http over IPv6" "$done_text" \
        bash "$PROGRAMS_SUPPORT/chromium.sh" "http://[$SERVER6]:8080/" "$live_dir/ca/ca.pem"
    abroad "Chromium, https by name" "$done_text" \
        bash "$PROGRAMS_SUPPORT/chromium.sh" "https://www.example.test:8443/" "$live_dir/ca/ca.pem"
fi
programs_done
