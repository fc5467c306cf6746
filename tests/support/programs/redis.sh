#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# redis.sh HOST PORT [own]: values, a subscription, a benchmark of 50 clients, and a replica of the server
# in this very place. With "own" the server is started here first. redis-server is the program that Debian's
# redis-tools calls redis-check-rdb; its name decides what it does.
here=$(dirname "$0")
. "$here/lib.sh"
host=$1 port=$2
redis_server() {
    exec -a redis-server redis-check-rdb --dir "$DIR" --save '' --repl-diskless-sync-delay 0 "$@"
}
[ -z "${3:-}" ] || start redis 'Ready to accept connections' redis_server --port "$port"
cli=(redis-cli -h "$host" -p "$port")
key=$(basename "$DIR")-$RANDOM
[ "$("${cli[@]}" set "$key" canary-of-redis)" = OK ]
[ "$("${cli[@]}" get "$key")" = canary-of-redis ]
head -c 3000000 /dev/zero | tr '\0' x | "${cli[@]}" -x set "$key-big" >/dev/null
[ "$("${cli[@]}" strlen "$key-big")" = 3000000 ]
# A subscriber hears what another connection publishes.
mkfifo heard
"${cli[@]}" subscribe "$key" >heard &
subscriber=$!
exec 3<heard
timeout "${LIVE_WAIT_S:-30}" grep -q -m1 '^1$' <&3 # the reply to SUBSCRIBE
"${cli[@]}" publish "$key" news >/dev/null
timeout "${LIVE_WAIT_S:-30}" grep -q -m1 '^news$' <&3
kill $subscriber
wait $subscriber || true
redis-benchmark -h "$host" -p "$port" -q -n 3000 -c 50 -t ping,set,get,lpush,mset >bench
[ "$(tr '\r' '\n' <bench | grep -c 'requests per second, p50')" -ge 6 ]
redis-benchmark -h "$host" -p "$port" -q -n 10000 -c 20 -P 16 --threads 2 -t get >bench
grep -q 'requests per second' bench
start replica 'MASTER <-> REPLICA sync: Finished with success' redis_server --port 6390 --replicaof "$host" "$port"
[ "$(redis-cli -h 127.0.0.1 -p 6390 get "$key")" = canary-of-redis ]
end replica
echo "redis works"
