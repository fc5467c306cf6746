#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: `lattice-mcp gateway` lets an MCP client call the allowed tools of a real server and no
# other; the server runs in a sandbox; every call is recorded. Each refusal is first shown to work
# without the gateway.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
ip link set lo up
ip address add $CLIENT4/32 dev lo
mcp=$(dirname "$LATTICE")/lattice-mcp
[ -e "$mcp" ] || install -m 755 "$LATTICE_BIN/lattice-mcp" "$mcp"
server=(/usr/bin/python3 "$LIVE_SUPPORT/mcp_server.py")
ask() { # ID METHOD [PARAMS]
    printf '{"jsonrpc":"2.0","id":%s,"method":"%s"%s}\n' "$1" "$2" "${3:+,\"params\":$3}"
}
session() {
    ask 1 initialize '{"protocolVersion":"2025-06-18","capabilities":{}}'
    ask 2 tools/list
    ask 3 tools/call '{"name":"echo","arguments":{"text":"hello","api_key":"canary-secret"}}'
    ask 4 tools/call '{"name":"wipe"}'
    ask 5 resources/list
}
: >"$live_dir/tmp/seen-direct" && : >"$live_dir/tmp/seen" && chmod 666 "$live_dir/tmp/seen-direct" "$live_dir/tmp/seen"

session | live_user client "${server[@]}" "$live_dir/tmp/seen-direct" >"$live_dir/direct"
contains "without the gateway the tool can be called" '"wiped"' "$live_dir/direct"
contains "… and the server saw the call" '"name":"wipe"' "$live_dir/tmp/seen-direct"

session | live_user client "$mcp" gateway --name mcp --allow-tool echo --offline \
    --audit-log "$live_dir/tmp/mcp.jsonl" -- "${server[@]}" "$live_dir/tmp/seen" >"$live_dir/out" 2>"$live_dir/err"
equal "the gateway passes the server's exit status on" 0 $?
contains "an allowed tool answers" '"id": 3, "result": .*hello' "$live_dir/out"
contains "the list holds it" '"name": "echo"' "$live_dir/out"
lacks "the list hides the others" '"name": "(wipe|connect)"' "$live_dir/out"
contains "a hidden tool answers as an unknown one" '"id":4,"error":\{"code":-32602,"message":"Unknown tool: wipe"' "$live_dir/out"
contains "a closed group of methods is not found" '"id":5,"error":\{"code":-32601' "$live_dir/out"
{ ask 4 tools/call '{"name":"wipe"}'; ask 4 tools/call '{"name":"nope"}'; } |
    live_user client "$mcp" gateway --name u --allow-tool echo --offline -- "${server[@]}" "$live_dir/tmp/seen" 2>/dev/null | sort >"$live_dir/two"
contains "an unknown tool answers the same" "Unknown tool: nope" "$live_dir/two"
equal "… byte for byte" "$(sed -n 1p "$live_dir/two" | sed 's/nope/wipe/')" "$(sed -n 2p "$live_dir/two")"
lacks "the server never saw the refused call" 'wipe' "$live_dir/tmp/seen"
contains "… but it saw the allowed one, as it was written" '\{"jsonrpc":"2.0","id":3,"method":"tools/call","params":\{"name":"echo","arguments":\{"text":"hello"' "$live_dir/tmp/seen"
contains "the refusal is said on standard error" 'not permitted to call "wipe"' "$live_dir/err"
contains "the allowed call is a span" '"kind":"span".*"tool":"echo".*"status":"ok"' "$live_dir/tmp/mcp.jsonl"
contains "the refused call is a span, too" '"kind":"span".*"reason":"tool_not_allowed".*"tool":"wipe".*"status":"blocked"' "$live_dir/tmp/mcp.jsonl"
lacks "no secret stands in the records" 'canary-secret' "$live_dir/tmp/mcp.jsonl"
check "the records' chain holds" "$LATTICE" audit verify "$live_dir/tmp/mcp.jsonl"

# Our own tokens are not the server's: without the gateway it would have them.
tokens=(env LATTICE_AUTH_TOKEN=canary-token LATTICE_TOKEN_FILE=/canary/file)
ask 1 tools/call '{"name":"env"}' | live_user client "${tokens[@]}" "${server[@]}" "$live_dir/tmp/seen" >"$live_dir/direct"
contains "a server started directly sees the token" 'canary-token' "$live_dir/direct"
ask 1 tools/call '{"name":"env"}' | live_user client "${tokens[@]}" "$mcp" gateway --name e --allow-tool env --offline --audit-log "$live_dir/tmp/e.jsonl" \
    -- "${server[@]}" "$live_dir/tmp/seen" >"$live_dir/out" 2>"$live_dir/err"
contains "… behind the gateway it sees its environment" 'PATH=' "$live_dir/out"
lacks "… but neither the token nor where it lies" 'canary' "$live_dir/out"

# The policy file says tools, too; its audit mode marks what the list would refuse, and refuses nothing.
policy() { # MODE
    printf '{"apiVersion":"lattice.dev/v1","kind":"Policy","spec":{"mode":"%s","tools":{"allow":["echo"]}}}' "$1" >"$live_dir/tmp/policy.json"
    session | live_user client "$mcp" gateway --name mcp --policy "$live_dir/tmp/policy.json" --audit-log "$live_dir/tmp/p.jsonl" \
        -- "${server[@]}" "$live_dir/tmp/seen" >"$live_dir/out" 2>"$live_dir/err"
}
policy enforce
contains "a tool of the policy file answers" '"id": 3, "result": .*hello' "$live_dir/out"
contains "… and no other" '"id":4,"error":\{"code":-32602,"message":"Unknown tool: wipe"' "$live_dir/out"
rm -f "$live_dir"/tmp/p.jsonl*
policy audit
contains "in audit mode the other answers, too" '"wiped"' "$live_dir/out"
contains "… is listed" '"name": "wipe"' "$live_dir/out"
contains "… and is marked" '"kind":"span".*"would_deny":true.*"reason":"tool_not_allowed".*"tool":"wipe".*"status":"ok"' "$live_dir/tmp/p.jsonl"

# The server's own connections are judged: the tool is allowed, its destination is not, then is.
connect() { # RULE OPTIONS…
    ask 1 tools/call "{\"name\":\"connect\",\"arguments\":{\"host\":\"$CLIENT4\",\"port\":$port}}" |
        live_user client "$mcp" gateway --allow-tool connect --audit-log "$live_dir/tmp/c.jsonl" "$@" \
            -- "${server[@]}" "$live_dir/tmp/seen" >"$live_dir/out" 2>"$live_dir/err"
}
live_start acceptor client '^[0-9]+$' /usr/bin/python3 -c '
import socket, sys
s = socket.create_server((sys.argv[1], 0))
print(s.getsockname()[1], flush=True)
while True:
    s.accept()[0].close()' "$CLIENT4"
port=$live_line
connect --allow "$CLIENT4:$port"
contains "an allowed destination of the server is reached" "\"text\": \"$CLIENT4\"" "$live_dir/out"
# What the server did meanwhile hangs below the call: the connection, and the program that it ran.
{
    ask 1 initialize '{"protocolVersion":"2025-06-18","capabilities":{}}'
    ask 2 tools/call "{\"name\":\"connect\",\"arguments\":{\"host\":\"$CLIENT4\",\"port\":$port}}"
    ask 3 tools/call '{"name":"run"}'
} | live_user client /usr/bin/python3 "$LIVE_SUPPORT/mcp_ask.py" "$mcp" gateway --allow-tool connect --allow-tool run --audit-log "$live_dir/tmp/s.jsonl" --allow "$CLIENT4:$port" \
    -- "${server[@]}" "$live_dir/tmp/seen" >"$live_dir/out" 2>"$live_dir/err"
/usr/bin/python3 - "$live_dir/tmp/s.jsonl" "$port" >"$live_dir/tree" 2>&1 <<'END'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
tools = {r["tool"]: r for r in rows if r["kind"] == "span"}
flows = [r for r in rows if r["kind"] == "flow" and r["dst_port"] == int(sys.argv[2])]
runs = [r for r in rows if r["kind"] == "exec" and r["tool"] == "exec:true"]
servers = [r for r in rows if r["kind"] == "exec" and r["tool"].startswith("exec:python")]
print("flow", len(flows) == 1 and flows[0]["parent_span_id"] == tools["connect"]["span_id"])
print("program", len(runs) == 1 and runs[0]["parent_span_id"] == tools["run"]["span_id"])
print("server", bool(servers) and all(r["parent_span_id"] not in (tools["connect"]["span_id"], tools["run"]["span_id"]) for r in servers))
print("trace", len({r["trace_id"] for r in rows if "trace_id" in r}) == 1)
starts = [r for r in rows if r["kind"] == "start"]
spans = {r["span_id"] for r in rows if "span_id" in r}
print("rooted", all(t["parent_span_id"] in spans for t in tools.values()) and any(r.get("parent_span_id") in spans for r in starts))
END
for what in flow program server trace rooted; do
    contains "the tree of a call: $what" "^$what True" "$live_dir/tree"
done
connect
contains "… and refused without the rule" 'Connection refused' "$live_dir/out"

# Behind a socket: each client has a gateway and a server of its own; all end with the listener.
mkfifo "$live_dir/tmp/hold" && chmod 666 "$live_dir/tmp/hold"
: >"$live_dir/tmp/seen" && chmod 666 "$live_dir/tmp/seen"
exec 7<>"$live_dir/tmp/hold" # so that neither side waits for the other to open it
live_start listener client '^listening on ' bash -c 'exec 7>&-; exec "$@" <"$0"' "$live_dir/tmp/hold" "$mcp" gateway \
    --listen "$live_dir/tmp/mcp.sock" --name mcp --allow-tool echo --offline --audit-log "$live_dir/tmp/l.jsonl" \
    -- "${server[@]}" "$live_dir/tmp/seen"
listener=$live_pid_listener
equal "… that only its owner may use" 600 "$(stat -c %a "$live_dir/tmp/mcp.sock")"
session | live_user client "$mcp" connect "$live_dir/tmp/mcp.sock" >"$live_dir/out"
equal "a client ends well" 0 $?
contains "an allowed tool answers through the socket" '"id": 3, "result": .*hello' "$live_dir/out"
contains "a hidden tool is unknown through the socket" '"id":4,"error":\{"code":-32602,"message":"Unknown tool: wipe"' "$live_dir/out"
lacks "the server never saw the refused call" 'wipe' "$live_dir/tmp/seen"
exec 7>&-
wait $listener
equal "it ends when its standard input does" 0 $?
check "… and takes its socket away" test ! -e "$live_dir/tmp/mcp.sock"
said=$(live_user client "$mcp" connect "$live_dir/tmp/mcp.sock" </dev/null 2>&1)
equal "a client without a gateway is told so" "lattice-mcp: error: the gateway does not answer socket=$live_dir/tmp/mcp.sock error=No such file or directory" "$said"
live_done
