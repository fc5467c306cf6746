#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# postgres.sh init DIR CERT KEY: a cluster with TLS. postgres.sh serve DIR PORT: its server.
# postgres.sh HOST PORT CA [own DIR]: tables, COPY, LISTEN, a cancelled query, TLS, pgbench with 4 clients.
here=$(dirname "$0")
if [ "$1" = init ]; then
    set -e
    initdb -D "$2" -U tester --auth=trust --no-sync --locale=C.UTF-8 --encoding=UTF8
    install -m 600 "$3" "$2/server.crt"
    install -m 600 "$4" "$2/server.key"
    echo "host all all all trust" >>"$2/pg_hba.conf"
    printf '%s\n' 'ssl = on' "listen_addresses = '*'" "unix_socket_directories = ''" 'fsync = off' 'shared_buffers = 16MB' \
        'dynamic_shared_memory_type = mmap' 'max_connections = 20' >>"$2/postgresql.conf"
    exit
fi
if [ "$1" = serve ]; then
    exec postgres -D "$2" -p "$3"
fi
. "$here/lib.sh"
export PGHOST=$1 PGPORT=$2 PGUSER=tester PGSSLROOTCERT=$3 PGSSLMODE=prefer
# SIGINT: fast shutdown, with clients or without
[ -z "${4:-}" ] || start postgres 'ready to accept connections' bash "$here/postgres.sh" serve "$5" "$2"
export PGDATABASE=postgres
database=d$RANDOM$RANDOM
psql -qc "create database $database"
export PGDATABASE=$database
psql -q -c 'create table t (n int primary key, s text)' -c "insert into t select g, 'canary-' || g from generate_series(1, 20000) g"
psql -qAtc '\copy t to rows'
[ "$(wc -l <rows)" = 20000 ]
psql -q -c 'create table u (like t)' -c '\copy u from rows'
[ "$(psql -qAtc 'select count(*), max(s) from u')" = "20000|canary-9999" ]
[ "$(PGSSLMODE=verify-ca psql -qAtc 'select ssl from pg_stat_ssl where pid = pg_backend_pid()')" = t ]
[ "$(PGSSLMODE=disable psql -qAtc 'select ssl from pg_stat_ssl where pid = pg_backend_pid()')" = f ]
psql -qAt -c 'listen news' -c "notify news, 'canary'" -c 'select 1' >news
grep -q 'Asynchronous notification "news" with payload "canary"' news
# A query is cancelled from a second connection, as Ctrl-C in psql does.
mkfifo started
psql -qAt <<<"\\! echo . >started
select pg_sleep(60);" 2>cancelled &
sleeper=$!
read -r -t "${LIVE_WAIT_S:-30}" _ <started
for _ in $(seq 200); do
    [ "$(psql -qAtc "select count(*) from pg_stat_activity where query like 'select pg_sleep(60)%' and state = 'active'")" = 0 ] || break
done
kill -INT $sleeper
wait $sleeper || true
grep -q 'canceling statement due to user request' cancelled
pgbench -i -q -s 1 2>/dev/null
pgbench -c 4 -j 2 -t 100 >bench 2>&1
grep -q 'number of transactions actually processed: 400/400' bench
grep -qE 'number of failed transactions: 0 ' bench
pgbench -S -C -c 2 -j 1 -t 10 >bench 2>&1 # a new connection for each transaction
grep -q 'number of transactions actually processed: 20/20' bench
if [ -n "${5:-}" ]; then
    kill -INT "${started[postgres]}"
    wait "${started[postgres]}" || true
    grep -q 'database system is shut down' postgres.log
fi
echo "postgres works"
