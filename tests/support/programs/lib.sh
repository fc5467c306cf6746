# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the scripts in this folder, each of which starts a server and its client on one loopback:
#   start NAME REGEX CMD…   server in the background, its output in $DIR/NAME.log; waits for the line
#   end NAME                ends it, and waits
set -euo pipefail
declare -A started=()
cd "$DIR"

start() {
    local name=$1 regex=$2 tail
    shift 2
    : >"$name.log"
    "$@" >"$name.log" 2>&1 </dev/null &
    started[$name]=$!
    exec {tail}< <(exec tail -n +1 -s 0.1 --pid=$! -F "$name.log" 2>/dev/null)
    local tail_pid=$!
    if ! timeout "${LIVE_WAIT_S:-30}" grep -aqE -m1 -e "$regex" <&$tail; then
        echo "$name did not start:"
        cat "$name.log"
        exit 1
    fi
    kill $tail_pid 2>/dev/null || true
    exec {tail}<&-
}
end() {
    kill "${started[$1]}" 2>/dev/null || true
    wait "${started[$1]}" 2>/dev/null || true
    unset "started[$1]"
}
end_all() {
    local name
    for name in "${!started[@]}"; do
        end "$name"
    done
}
trap end_all EXIT
