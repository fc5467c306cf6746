# SPDX-License-Identifier: Apache-2.0
"""A small real MCP server on stdio, for tests: a few tools, of which one opens a connection, one reads a file, one runs a program. What it
receives is appended to the file named by its first argument, so a test can prove what never came."""
import json
import os
import socket
import subprocess
import sys

TOOLS = {
    "echo": lambda a: a.get("text", ""),
    "wipe": lambda a: "wiped",
    "connect": lambda a: socket.create_connection((a["host"], a["port"]), timeout=10).getpeername()[0],
    "env": lambda a: "\n".join(f"{k}={v}" for k, v in os.environ.items()),
    "read": lambda a: open(a["path"], encoding="utf-8").read(),
    "run": lambda a: subprocess.run(["/bin/true"], check=True).returncode,
}


def answer(message):
    method, params = message.get("method"), message.get("params") or {}
    if method == "initialize":
        return {"protocolVersion": params.get("protocolVersion", "2025-06-18"),
                "capabilities": {"tools": {}}, "serverInfo": {"name": "test", "version": "1"}}
    if method == "tools/list":
        return {"tools": [{"name": n, "inputSchema": {"type": "object"}} for n in TOOLS]}
    if method == "tools/call":
        try:
            text, failed = str(TOOLS[params["name"]](params.get("arguments") or {})), False
        except OSError as error:
            text, failed = str(error), True
        return {"content": [{"type": "text", "text": text}], "isError": failed}
    return {}


with open(sys.argv[1], "a", encoding="utf-8") as log:
    for line in sys.stdin:
        print(line, end="", file=log, flush=True)
        request = json.loads(line)
        if "id" in request:
            print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": answer(request)}), flush=True)
