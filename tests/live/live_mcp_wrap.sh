#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: `lattice-mcp wrap` changes what it must in a client's configuration and nothing else, keeps
# the file as it was, and `unwrap` gives back the same bytes; a symbolic link stays one.
set -u
mcp=${LATTICE_BIN:?}/lattice-mcp
[ -x "$mcp" ] || { echo "SKIP: lattice-mcp is not built"; exit 77; }
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
failed=0
ok() { # WHAT COMMAND…
    local what=$1
    shift
    [ ! -e "$dir/out" ] || mv "$dir/out" "$dir/prev"
    if "$@" >"$dir/out" 2>&1; then echo "ok - $what"; else echo "not ok - $what"; sed 's/^/#   /' "$dir/out"; failed=1; fi
}
not() { ! "$@"; }
has() { grep -qE -- "$1" "$2"; }
cat >"$dir/plain.json" <<'END'
{
  "theme": "dark", "big": 12345678901234567890123,
  "mcpServers": {
    "files": { "args": [ "-y", "pkg" ], "command": "npx", "env": {"A": "b"} },
    "bare": {"command":"/bin/x"},
    "remote": {"url": "https://host.example"}
  }, "last": [1]
}
END
mkdir "$dir/real" && cp "$dir/plain.json" "$dir/real/client.json" && chmod 640 "$dir/real/client.json" && ln -s real/client.json "$dir/link.json"

ok "dry-run shows the new file" "$mcp" wrap --dry-run "$dir/link.json"
ok "… with the gateway in it" has '"gateway", "--name", "files", "--audit", "--", "npx", "-y"' "$dir/prev"
ok "… and writes nothing" cmp "$dir/plain.json" "$dir/real/client.json"
ok "wrap" "$mcp" wrap "$dir/link.json" -- --allow-tool read --offline
ok "the options stand in front of each server" has '"--name", "bare", "--allow-tool", "read", "--offline", "--", "/bin/x"\]' "$dir/real/client.json"
ok "a server without a command stays" has '"remote": \{"url": "https://host.example"\}' "$dir/real/client.json"
ok "unknown members and big numbers stay" has '"big": 12345678901234567890123' "$dir/real/client.json"
ok "the link stays a link" test -L "$dir/link.json"
ok "the mode stays" test "$(stat -c %a "$dir/real/client.json")" = 640
ok "the file as it was is kept" cmp "$dir/plain.json" "$dir/real/client.json.lattice-backup"
cp "$dir/real/client.json" "$dir/once.json"
ok "wrap again" "$mcp" wrap "$dir/link.json" -- --offline
ok "… changes nothing" cmp "$dir/once.json" "$dir/real/client.json"
ok "… and keeps nothing" test ! -e "$dir/real/client.json.lattice-backup-2"
ok "unwrap" "$mcp" unwrap "$dir/link.json"
ok "… gives back the same bytes" cmp "$dir/plain.json" "$dir/real/client.json"
ok "one server alone" "$mcp" wrap --server bare "$dir/link.json"
ok "… the other stays" has '"command": "npx"' "$dir/real/client.json"
ok "nothing else is left in the folder" test "$(find "$dir/real" -name '*lattice-new*' | wc -l)" = 0

printf '{"mcpServers":{"a":{"command":"x","command":"y"}}}' >"$dir/twice.json"
printf '{"servers":{}}' >"$dir/none.json"
for bad in twice none; do
    ok "$bad.json is refused" not "$mcp" wrap "$dir/$bad.json"
    ok "… with its name and reason" has "$bad.json" "$dir/prev"
    ok "… and nothing is written" test ! -e "$dir/$bad.json.lattice-backup"
done
ok "no file is an error" not "$mcp" wrap "$dir/nowhere.json"
ok "a folder is an error" not "$mcp" wrap "$dir"
for words in "wrap" "wrap $dir/none.json extra" "wrap $dir/none.json -- --name x" "unwrap $dir/none.json -- x"; do
    # shellcheck disable=SC2086 # the words are many
    "$mcp" $words 2>/dev/null
    ok "lattice-mcp ${words//$dir\//} is a usage error" test $? = 2
done
# The rewritten command runs: the gateway starts the server that stood there, and an answer comes.
if "${LATTICE_BIN}/lattice" sandbox start --name probe --offline -- true >/dev/null 2>&1; then
    printf '{"mcpServers":{"t":{"command":"/usr/bin/python3","args":["%s","%s"]}}}' "${LATTICE_SOURCE:?}/tests/support/mcp_server.py" "$dir/seen" >"$dir/run.json"
    ok "wrap a real server" "$mcp" wrap "$dir/run.json" -- --allow-tool echo --offline --audit-log "$dir/t.jsonl"
    /usr/bin/python3 - "$dir/run.json" >"$dir/answers" 2>"$dir/err" <<'END'
import json, subprocess, sys
s = json.load(open(sys.argv[1]))["mcpServers"]["t"]
lines = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"through"}}}\n{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"wipe"}}\n'
print(subprocess.run([s["command"], *s["args"]], input=lines, text=True, capture_output=True, timeout=60).stdout)
END
    ok "it answers behind the gateway" has 'through' "$dir/answers"
    ok "… and what is not allowed is unknown" has 'Unknown tool: wipe' "$dir/answers"
else
    echo "ok - a wrapped server runs # SKIP no sandbox here"
fi
exit $failed
