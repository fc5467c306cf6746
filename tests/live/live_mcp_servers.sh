#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: `sandbox start --mcp FILE` gives an agent MCP servers that run outside of its sandbox, with
# the allowed tools only; a shell in the sandbox does not get past the gateway; one log and one trace
# hold what the agent and its servers did; nothing is left when it ends.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
mcp=$(dirname "$LATTICE")/lattice-mcp
[ -e "$mcp" ] || install -m 755 "$LATTICE_BIN/lattice-mcp" "$mcp"
seen=$live_dir/tmp/seen
cat >"$live_dir/mcp.json" <<EOF
{"mcpServers": {
  "tools": {"command": "/usr/bin/python3", "args": ["$LIVE_SUPPORT/mcp_server.py", "$seen"], "env": {"CANARY": "1"}},
  "remote": {"url": "http://127.0.0.1:1/mcp", "headers": {"x": "y"}}
}}
EOF
cat >"$live_dir/client.py" <<'EOF'
import json, os, subprocess, sys
servers = json.load(open(os.environ["LATTICE_MCP_CONFIG"]))["mcpServers"]
print("remote", json.dumps(servers["remote"]))
lines = [json.dumps({"jsonrpc": "2.0", "id": i, "method": m, "params": p}) for i, (m, p) in enumerate([
    ("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}}), ("tools/list", {}),
    ("tools/call", {"name": "echo", "arguments": {"text": "hello"}}), ("tools/call", {"name": "wipe"})])]
server = servers["tools"]
run = subprocess.run([server["command"], *server["args"]], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=30)
print(run.stdout, run.stderr, "status", run.returncode)
EOF
: >"$seen" && chmod 666 "$seen" && chmod 644 "$live_dir"/*.json "$live_dir"/*.py
sandbox() { # OPTIONS… -- CMD
    live_user client env XDG_RUNTIME_DIR="$live_dir/tmp" "$LATTICE" sandbox start --name agent --offline \
        --audit-log "$live_dir/tmp/a.jsonl" "$@"
}
sandbox --mcp "$live_dir/mcp.json" --allow-tool echo -- /usr/bin/python3 "$live_dir/client.py" >"$live_dir/out" 2>"$live_dir/err"
equal "the agent ends well" 0 $?
contains "an allowed tool answers" '"id": 2, "result": .*hello' "$live_dir/out"
lacks "the list hides the others" '"name": "(wipe|connect)"' "$live_dir/out"
contains "a hidden tool is an unknown one" '"id":3,"error":\{"code":-32602,"message":"Unknown tool: wipe"' "$live_dir/out"
lacks "… which the server never saw" 'wipe' "$seen"
contains "a remote server's entry is copied as it is" '^remote \{"url": "http://127.0.0.1:1/mcp", "headers": \{"x": "y"\}\}$' "$live_dir/out"
check "the log of agent, gateway and server is whole" "$LATTICE" audit verify "$live_dir/tmp/a.jsonl"
contains "the call is a span" '"kind":"span".*"tool":"echo".*"status":"ok"' "$live_dir/tmp/a.jsonl"
equal "agent, gateway and server share one trace" 1 "$(grep -o '"trace_id":"[^"]*"' "$live_dir/tmp/a.jsonl" | sort -u | wc -l)"
equal "nothing is left" "" "$(find "$live_dir/tmp" -name 'lattice-mcp.*')"

sandbox --mcp "$live_dir/mcp.json" --allow-tool echo --allow-tool wipe -- /usr/bin/python3 "$live_dir/client.py" >"$live_dir/out" 2>&1
contains "the hidden tool works once it is allowed" '"id": 3, "result": .*wiped' "$live_dir/out"

# A shell of the agent's sees the socket, and the gateway behind it judges what comes.
cat >"$live_dir/raw.py" <<'EOF'
import json, os, socket
server = json.load(open(os.environ["LATTICE_MCP_CONFIG"]))["mcpServers"]["tools"]
s = socket.socket(socket.AF_UNIX)
s.connect(server["args"][1])
s.sendall(b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"wipe"}}\n')
print(s.recv(4096).decode())
EOF
chmod 644 "$live_dir/raw.py"
sandbox --mcp "$live_dir/mcp.json" --allow-tool echo -- /usr/bin/python3 "$live_dir/raw.py" >"$live_dir/out" 2>&1
contains "a raw connection to the socket meets the gateway" '"id":9,"error":\{"code":-32602' "$live_dir/out"

# With the rest of the machine closed, the agent still finds its copy of the file, and the program in it.
# Its servers may use what it may, and what their own entries name besides; one that says so, every file.
cat >"$live_dir/reader.py" <<'XX'
import json, os, subprocess, sys
servers = json.load(open(os.environ["LATTICE_MCP_CONFIG"]))["mcpServers"]
for name, path in [pair.split("=") for pair in sys.argv[1:]]:
    lines = [json.dumps({"jsonrpc": "2.0", "id": i, "method": m, "params": p}) for i, (m, p) in enumerate([
        ("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}}), ("tools/call", {"name": "read", "arguments": {"path": path}})])]
    run = subprocess.run([servers[name]["command"], *servers[name]["args"]], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=30)
    print(name, run.stdout.splitlines()[-1] if run.stdout else run.stderr)
XX
chmod 644 "$live_dir/reader.py"
files='"files": {"read": ["'$LIVE_SUPPORT'/mcp_server.py"'
entry='{"command": "/usr/bin/python3", "args": ["'$LIVE_SUPPORT'/mcp_server.py", "/dev/null"], "lattice": {'
cat >"$live_dir/files.json" <<XX
{"mcpServers": {
  "same": $entry $files]}}},
  "own": $entry $files, "~/notes"]}}},
  "open": $entry "files": {"mode": "open"}}}
}}
XX
chmod 644 "$live_dir/files.json"
live_user client sh -c "mkdir -p ~/ws ~/.ssh $live_dir/run; echo canary-key >~/.ssh/id; echo canary-note >~/notes; echo canary-work >~/ws/work"
reading() { # OPTIONS… -- SERVER=FILE…
    live_user client env -C "$live_dir/home/ws" XDG_RUNTIME_DIR="$live_dir/run" "$LATTICE" sandbox start --name agent --offline \
        --audit-log "$live_dir/home/a.jsonl" --read "$live_dir/reader.py" --mcp "$live_dir/files.json" --allow-tool read \
        "${@:1:$#-1}" -- /usr/bin/python3 "$live_dir/reader.py" ${!#} >"$live_dir/out" 2>&1
}
key=$live_dir/home/.ssh/id note=$live_dir/home/notes work=$live_dir/home/ws/work
if "$LATTICE" doctor --json | grep -q '"id":"files","group":"walls","state":"ok"'; then
    reading --files=workspace "open=$key same=$key own=$key same=$note own=$note same=$work"
    contains "control: a server whose entry opens every file reads a key" '^open .*canary-key' "$live_dir/out"
    lacks "a server of an agent with --files=workspace does not" '^(same|own) .*canary-key' "$live_dir/out"
    contains "… and says why" '^same .*Permission denied' "$live_dir/out"
    contains "its entry opens what it needs" '^own .*canary-note' "$live_dir/out"
    lacks "… for itself alone" '^same .*canary-note' "$live_dir/out"
    contains "it reads the workspace" '^same .*canary-work' "$live_dir/out"
    reading --files=workspace --read "$note" "same=$note"
    contains "what is open to the agent is open to its servers" '^same .*canary-note' "$live_dir/out"
    reading --files=open "own=$key"
    contains "with --files=open such a server starts, too, and reads every file" '^own .*canary-key' "$live_dir/out"
    sed -i 's/"files": {"read"/"files": {"mode": "workspace", "read"/' "$live_dir/files.json"
    live_user client env -C "$live_dir/home/ws" XDG_RUNTIME_DIR="$live_dir/run" "$LATTICE" sandbox start --name agent --offline \
        --audit-log "$live_dir/home/a.jsonl" --mcp "$live_dir/files.json" --allow-tool read -- \
        /usr/bin/python3 "$live_dir/reader.py" "open=$key" "same=$key" "own=$note" >"$live_dir/out" 2>&1
    contains "a server can be closed in though its agent is not" '^same .*Permission denied' "$live_dir/out"
    contains "… with what it needs" '^own .*canary-note' "$live_dir/out"
else
    live_skip "file policy of servers" "Landlock cannot be used here"
fi
for bad in '{"files": {"mode": "closed"}}=files.mode must be' '{"files": {"mode": "open", "read": ["/x"]}}=go with "mode": "workspace"' \
    '{"file": {}}=unknown' '7="lattice" must be an object'; do
    printf '{"mcpServers": {"a": {"command": "x",\n "lattice": %s}}}' "${bad%%=*}" >"$live_dir/bad.json" && chmod 644 "$live_dir/bad.json"
    sandbox --mcp "$live_dir/bad.json" -- true >"$live_dir/out" 2>&1
    contains "an entry with ${bad%%=*} is refused, with its place" "bad.json:2:[0-9]+: .*${bad#*=}" "$live_dir/out"
done

printf '{"mcpServers": {\n "a b": {"command": "x"}}}' >"$live_dir/bad.json" && chmod 644 "$live_dir/bad.json"
sandbox --mcp "$live_dir/bad.json" -- true >"$live_dir/out" 2>&1
equal "a bad file starts nothing" 125 $?
contains "… and says where it is wrong" "bad.json:2:2: a server's name is" "$live_dir/out"
live_done
