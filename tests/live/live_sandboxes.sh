#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: lattice sandbox ps, stats, inspect and kill show and end the sandboxes that run, and no other process.
. "$(dirname "$0")/../support/live.sh"
dir=$(mktemp -d)
export XDG_RUNTIME_DIR=$dir/run XDG_STATE_HOME=$dir/state
mkdir -m 700 "$dir/run" "$dir/state"
lattice=$LATTICE_BIN/lattice
# shellcheck disable=SC2016 # the sandbox's shell expands it
for name in one two; do
    mkfifo "$dir/$name.in" "$dir/$name.up"
    "$lattice" sandbox start --name "$name" -- sh -c 'exec 3>"$1"; echo up >&3; exec 3>&-; curl -s http://192.0.2.9/; read x; exit 3' sh "$dir/$name.up" \
        <"$dir/$name.in" >"$dir/$name.out" 2>&1 &
    pids+=($!)
done
exec 5>"$dir/one.in" 6>"$dir/two.in"
read -r _ <"$dir/one.up"
read -r _ <"$dir/two.up"
"$lattice" sandbox ps >"$dir/ps"
contains "ps lists the first" "one +${pids[0]} " "$dir/ps"
contains "… and the second, with its command" "two +${pids[1]} .* direct +sh -c" "$dir/ps"
equal "… as JSON, too" 2 "$("$lattice" sandbox ps --json | /usr/bin/python3 -c 'import json,sys; print(len([json.loads(l)["traceId"] for l in sys.stdin]))')"
for _ in $(seq 200); do # until the refusal is in the log
    "$lattice" sandbox stats --json >"$dir/stats"
    [ "$(grep -c '"dropped":1' "$dir/stats")" = 2 ] && break
done
equal "stats count the refusal of each" 2 "$(grep -c '"dropped":1' "$dir/stats")"
"$lattice" sandbox inspect one >"$dir/inspect"
contains "inspect names trace and records" "records +$dir/state/lattice/one.jsonl" "$dir/inspect"
"$lattice" sandbox inspect three >"$dir/out" 2>&1
equal "one that does not run is not found" 5 $?
# An entry whose process number is another's by now: it is not listed, never signalled, and removed.
sleep 60 &
stranger=$!
sed "s/\"pid\":${pids[0]}/\"pid\":$stranger/; s/\"name\":\"one\"/\"name\":\"stranger\"/" "$dir/run/lattice/${pids[0]}.json" >"$dir/run/lattice/$stranger.json"
"$lattice" sandbox kill stranger >"$dir/out" 2>&1
equal "an entry of another process is not believed" 5 $?
check "… that process lives" kill -0 "$stranger"
check "… and the entry is gone" test ! -e "$dir/run/lattice/$stranger.json"
kill "$stranger"
"$lattice" sandbox kill one
wait "${pids[0]}"
equal "kill ends the one" 143 $?
"$lattice" sandbox ps >"$dir/ps"
equal "… and only that" "two" "$(sed -n '2,$s/ .*//p' "$dir/ps")"
"$lattice" sandbox kill --force "${pids[1]}"
{ wait "${pids[1]}"; } 2>/dev/null
equal "kill --force ends the other by its number" 137 $?
equal "nothing is left in the list" 0 "$("$lattice" sandbox ps | wc -l)"
# A start clears away what is left of processes that are gone, and nothing else.
sleep 60 &
neighbour=$!
true &
gone=$!
wait "$gone"
echo '{}' >"$dir/run/lattice/$gone.json"
echo '{}' >"$dir/run/lattice/$neighbour.json"
"$lattice" sandbox start --offline -- true
check "a start removes the entry of a process that is gone" test ! -e "$dir/run/lattice/$gone.json"
check "… and leaves those of others" test -e "$dir/run/lattice/$neighbour.json"
kill "$neighbour"
chmod 755 "$dir/run/lattice"
"$lattice" sandbox ps >"$dir/out" 2>&1
equal "a directory that others can read is refused" 1 $?
exec 5>&- 6>&-
rm -rf "$dir"
live_done
