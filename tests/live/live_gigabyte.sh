#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: 1 GB down and 1 GB up through the tunnel arrive with the right SHA-256. The stream is made on
# the fly (tests/support/live_stream.py); nothing is stored.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
# shellcheck disable=SC2154 # set by live_servers
live_world
live_servers
live_gateway
LIVE_LIMIT_S=240
size=${LIVE_GIGABYTE:-1000000000}
expected=$(/usr/bin/python3 "$LIVE_SUPPORT/live_stream.py" --sha256 "$size")
seconds() {
    awk -v a="$1" -v b="$EPOCHREALTIME" -v n="$size" 'BEGIN { printf "%.1f s, %.0f MB/s", b - a, n / 1e6 / (b - a) }'
}

start=$EPOCHREALTIME
seen=$(sandbox --allow "$SERVER4:$http_port" -- curl -sS "http://$SERVER4:$http_port/bytes/$size" 2>"$live_dir/err" | tee >(wc -c >"$live_dir/count") | sha256sum)
took=$(seconds "$start")
equal "download of $size bytes ($took): SHA-256" "$expected" "${seen%% *}" || tail -n 5 "$live_dir/err" "$live_dir/count"
contains "… from the gateway's address" "^http $GATEWAY_OUT4 GET /bytes/$size 200" "$live_dir/servers.log"

start=$EPOCHREALTIME
seen=$(/usr/bin/python3 "$LIVE_SUPPORT/live_stream.py" "$size" |
    sandbox --allow "$SERVER4:$http_port" -- curl -sS -T - "http://$SERVER4:$http_port/upload" 2>"$live_dir/err")
took=$(seconds "$start")
equal "upload of $size bytes ($took): length and SHA-256 as the server saw them" "$size $expected" "$seen" || tail -n 5 "$live_dir/err"
contains "… from the gateway's address" "^http $GATEWAY_OUT4 PUT /upload 200" "$live_dir/servers.log"
# what the flow's record says it carried: the payload and the HTTP heads
check "the records count at least the payload each way" /usr/bin/python3 - "$live_dir/sandbox.jsonl" "$size" <<'EOF'
import json, sys
flows = [r for r in map(json.loads, open(sys.argv[1])) if r.get("kind") == "flow"]
down = max(f["bytes_in"] for f in flows)
up = max(f["bytes_out"] for f in flows)
size = int(sys.argv[2])
assert size <= down <= size + 4096, down
assert size <= up <= size + size // 100, up  # chunk heads
EOF
live_done
