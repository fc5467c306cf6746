#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: programs whose runtimes have an event loop and a resolver of their own (Go, Java) work in the
# sandbox as they do natively. They are compiled here, outside.
. "$(dirname "$0")/../support/live.sh"
. "$LIVE_SUPPORT/live_programs.inc"
programs_begin "$@"
live_servers

# shellcheck disable=SC2154 # set by live_servers
http="http://www.example.test:$http_port/small" https="https://www.example.test:$https_port/small"
if programs_need Go go; then
    programs_dir
    live_user server env GOCACHE="$dir" GOFLAGS=-mod=mod GO111MODULE=off GOTOOLCHAIN=local \
        go build -o "$dir/netcheck" "$PROGRAMS_SUPPORT/netcheck.go" >"$live_dir/out" 2>&1 || live_die "go build: $(cat "$live_dir/out")"
    netcheck=$dir/netcheck
    abroad "Go, http" 'plaintext-canary' "$netcheck" fetch "$http"
    abroad "Go, https" 'plaintext-canary' "$netcheck" fetch "$https" "$live_dir/ca/ca.pem"
    abroad "Go with its own resolver" 'plaintext-canary' env GODEBUG=netdns=go "$netcheck" fetch "$http"
    at_home "Go, server and clients" '^go works' "$netcheck" home
fi
if programs_need Java java javac; then
    programs_dir
    live_user server javac -d "$dir" "$PROGRAMS_SUPPORT/Netcheck.java" >"$live_dir/out" 2>&1 || live_die "javac: $(cat "$live_dir/out")"
    java=(java -Xshare:auto -XX:TieredStopAtLevel=1 -cp "$dir")
    abroad "Java, http" ' HTTP_1_1$' "${java[@]}" Netcheck fetch "$http"
    abroad "Java, http over IPv6" ' HTTP_1_1$' "${java[@]}" Netcheck fetch "http://[$SERVER6]:$http_port/small"
    at_home "Java, server and clients" '^java works' "${java[@]}" Netcheck home
fi
programs_done
