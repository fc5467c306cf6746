#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: redis and PostgreSQL work in the sandbox as they do natively: their clients and benchmarks
# through the tunnel, and their servers on the sandbox's own loopback.
. "$(dirname "$0")/../support/live.sh"
. "$LIVE_SUPPORT/live_programs.inc"
programs_begin "$@"

if programs_need redis redis-check-rdb redis-cli redis-benchmark; then
    live_start redis server 'Ready to accept connections' bash -c 'exec -a redis-server redis-check-rdb --save "" --repl-diskless-sync-delay 0 --port 6379 --protected-mode no'
    abroad "redis over IPv4" '^redis works' bash "$PROGRAMS_SUPPORT/redis.sh" $SERVER4 6379
    abroad "redis over IPv6" '^redis works' bash "$PROGRAMS_SUPPORT/redis.sh" $SERVER6 6379
    at_home "redis, all of it" '^redis works' bash "$PROGRAMS_SUPPORT/redis.sh" 127.0.0.1 6380 own
fi

if programs_need postgres postgres initdb psql pgbench; then
    for name in pg-abroad pg-home; do
        live_user server bash "$PROGRAMS_SUPPORT/postgres.sh" init "$live_dir/tmp/$name" "$live_dir/ca/server.pem" \
            "$live_dir/ca/server.key" >"$live_dir/$name.log" 2>&1 || live_die "initdb: $(tail -n 3 "$live_dir/$name.log")"
    done
    live_start postgres server 'ready to accept connections' bash "$PROGRAMS_SUPPORT/postgres.sh" serve "$live_dir/tmp/pg-abroad" 5432
    abroad "PostgreSQL over IPv4" '^postgres works' bash "$PROGRAMS_SUPPORT/postgres.sh" $SERVER4 5432 "$live_dir/ca/ca.pem"
    abroad "PostgreSQL over IPv6" '^postgres works' bash "$PROGRAMS_SUPPORT/postgres.sh" $SERVER6 5432 "$live_dir/ca/ca.pem"
    at_home "PostgreSQL, all of it" '^postgres works' bash "$PROGRAMS_SUPPORT/postgres.sh" 127.0.0.1 5433 "$live_dir/ca/ca.pem" own "$live_dir/tmp/pg-home"
fi
programs_done
