#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rsync.sh URL [CONFIG]: push a tree to a writable module, pull it back, change one file and push the
# difference. With CONFIG the daemon is started here first.
here=$(dirname "$0")
. "$here/lib.sh"
[ -z "${2:-}" ] || start rsyncd 'listening on port 8730' bash "$here/rsyncd.sh" "$2"
for _ in $(seq 200); do # its line comes before it listens
    rsync "$1/" >/dev/null 2>&1 && break
done
url=$1/$(basename "$DIR")
mkdir -p tree/sub
seq 1 200000 >tree/numbers
head -c 2000000 /dev/urandom >tree/sub/noise
for n in $(seq 200); do echo "$n" >"tree/sub/file$n"; done
rsync -rt tree/ "$url/"
rsync -rt "$url/" back/
diff -r tree back
echo one more line >>tree/numbers
rsync -rt --no-whole-file --stats tree/ "$url/" >stats
# Only the changed part passes.
awk '/^Literal data:/ { gsub(",", "", $3); exit !($3 < 100000) }' stats
rsync -rt "$url/" back/
diff -r tree back
echo "rsync works"
