#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What an agent does all day, on one loopback: Python's web server, and curl, wget, Python and node as its
# clients over both families; git with its daemon.
here=$(dirname "$0")
. "$here/lib.sh"
export GIT_CONFIG_NOSYSTEM=1 HOME=$DIR
mkdir www
echo canary >www/page
seq 200000 >www/large
start web 'Serving HTTP' /usr/bin/python3 -u -m http.server --bind :: --directory www 8010
for url in http://127.0.0.1:8010 http://[::1]:8010; do
    [ "$(curl -sS "$url/page")" = canary ]
    [ "$(wget -q -O - "$url/page")" = canary ]
    curl -sS "$url/large" | cmp - www/large
    [ "$(/usr/bin/python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode(), end="")' "$url/page")" = canary ]
    [ "$(node -e 'fetch(process.argv[1]).then(r => r.text()).then(t => process.stdout.write(t))' "$url/page")" = canary ]
done
[ "$(grep -c 'GET /page.* 200 ' web.log)" -eq 8 ]
git init -q repo
git -C repo -c user.name=t -c user.email=t@example.test commit -q --allow-empty -m canary-of-git
start git 'Ready to rumble' git daemon --verbose --log-destination=stderr --export-all --listen=127.0.0.1 --port=8011 --base-path="$DIR" "$DIR/repo"
git clone -q git://127.0.0.1:8011/repo clone
[ "$(git -C clone log --format=%s)" = canary-of-git ]
echo "everyday works"
