#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An agent as anyone could write it: it runs curl, uses an MCP server, and delegates to a sub-agent.

It has no library of lattice's and no proxy settings. What it knows of the sandbox are three
variables that are set for it:
    LATTICE_MCP_CONFIG    an mcpServers file; each server is started by its command, over stdio
    LATTICE_TOKEN_FILE    a file that holds its own token, kept fresh
    LATTICE_SERVER_URL    where a part of its rights can be handed to a sub-agent
and its task, as JSON in its first argument. What it did is said as one JSON line a step.
"""
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

DELEGATE = "/api/v1/agent-isolation/delegate"


def say(step, **result):
    print(json.dumps({"step": step, **result}), flush=True)


def curl(step, url):
    """Fetch a page with curl, and say what came."""
    run = subprocess.run(["curl", "-sS", "--max-time", "20", "--noproxy", "*", url], capture_output=True, text=True)
    say(step, ok=run.returncode == 0, status=run.returncode, text=(run.stdout or run.stderr).strip()[:200])


class McpClient:
    """Just enough of a Model Context Protocol client: one server over standard input and output."""

    def __init__(self, server):
        command = [server["command"], *server.get("args", [])]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.next_id = 0
        self.request("initialize", protocolVersion="2025-06-18", capabilities={},
                     clientInfo={"name": "story", "version": "1"})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def request(self, method, **params):
        self.next_id += 1
        self.send({"jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params})
        for line in self.process.stdout:
            message = json.loads(line)
            if message.get("id") == self.next_id and "method" not in message:
                return message
            if "id" in message and "method" in message:  # the server asks us; we offer nothing
                self.send({"jsonrpc": "2.0", "id": message["id"],
                           "error": {"code": -32601, "message": "not offered"}})
        raise EOFError("the server ended")

    def call(self, step, tool, **arguments):
        answer = self.request("tools/call", name=tool, arguments=arguments)
        if "error" in answer:
            say(step, ok=False, text=answer["error"]["message"])
        else:
            text = " ".join(part.get("text", "") for part in answer["result"]["content"])
            say(step, ok=not answer["result"].get("isError", False), text=text[:200])

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=20)


def use_tools(task):
    with open(os.environ["LATTICE_MCP_CONFIG"], encoding="utf-8") as file:
        client = McpClient(json.load(file)["mcpServers"]["files"])
    tools = client.request("tools/list")["result"]["tools"]
    say("tools", names=sorted(tool["name"] for tool in tools))
    client.call("allowed tool", "read_text_file", path=task["read"])
    client.call("forbidden tool", "write_file", path=task["read"], content="changed by an agent")
    client.close()


def delegate(request):
    """Hand a part of our rights on. What comes back is a token for whoever starts the sub-agent."""
    with open(os.environ["LATTICE_TOKEN_FILE"], encoding="utf-8") as file:
        token = file.read().strip()
    call = urllib.request.Request(os.environ["LATTICE_SERVER_URL"] + DELEGATE, json.dumps(request).encode(),
                                  {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(call, timeout=20) as answer:
            data = json.load(answer)["data"]
        say("delegate", ok=True, token=data["enrollmentToken"], identity=data["identity"])
    except urllib.error.HTTPError as error:
        say("delegate", ok=False, status=error.code, text=error.read().decode()[:400])


def main():
    task = json.loads(sys.argv[1])
    curl("allowed site", task["allowed"])
    curl("forbidden site", task["forbidden"])
    if "read" in task:
        use_tools(task)
    if "delegate" in task:
        delegate(task["delegate"])
    if "download" in task:  # goes on until somebody cuts it
        say("download", ok=True)
        run = subprocess.run(["curl", "-sS", "-o", "/dev/null", "--noproxy", "*", task["download"]],
                             capture_output=True, text=True)
        say("download ended", status=run.returncode, text=run.stderr.strip()[:200])


if __name__ == "__main__":
    main()
