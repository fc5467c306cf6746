#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# npm.sh URL: install by name from the registry at URL/npm, then "npm ci" from a lock file, then run it.
set -e
cd "$DIR"
npm="npm --registry $1/npm/ --cache $DIR/cache --no-audit --no-fund --no-update-notifier --ignore-scripts --loglevel=error"
mkdir by-name project
(cd by-name && echo '{"name":"p","version":"1.0.0"}' >package.json && $npm install demo)
curl -sS --fail-with-body -o project/package.json "$1/project/package.json" -o project/package-lock.json "$1/project/package-lock.json"
(cd project && $npm --cache "$DIR/cache2" ci)
for dir in by-name project; do
    [ "$(cd $dir && node -p 'require("demo")')" = 310 ] # ten strings of 15 letters and ten of 16
done
echo "npm works"
