# SPDX-License-Identifier: Apache-2.0
"""lattice-mcp as a server of latticed's tools, spoken to line by line in both eras of MCP: every tool, the
user's approval by every way there is, and what is no message."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import control
from control import Latticed, ok

d = Latticed("--no-nats")
home = d.dir / "home"
home.mkdir()
programs = pathlib.Path(os.environ["LATTICE_BIN"])
env = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
VERSION, CAPS, INFO = ("io.modelcontextprotocol/" + k for k in ("protocolVersion", "clientCapabilities", "serverInfo"))


def cli(*words, stdin=""):
    return subprocess.run([programs / "lattice", *words], input=stdin, text=True, capture_output=True, env=env, timeout=60)


class Client:
    def __init__(self, *words):
        self.p = subprocess.Popen([programs / "lattice-mcp", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=open(d.dir / "mcp-stderr", "ab"), env=env)
        self.id = 0

    def raw(self, line):
        self.p.stdin.write(line if isinstance(line, bytes) else line.encode())
        self.p.stdin.write(b"\n")
        self.p.stdin.flush()

    def read(self):
        return json.loads(self.p.stdout.readline())

    def send(self, method, params=None):
        self.id += 1
        self.raw(json.dumps({"jsonrpc": "2.0", "id": self.id, "method": method, **({} if params is None else {"params": params})}))

    def ask(self, method, params=None):
        self.send(method, params)
        answer = self.read()
        assert answer["id"] == self.id, answer
        return answer

    def modern(self, method, /, caps=None, version="2026-07-28", **params):
        return self.ask(method, {"_meta": {VERSION: version, CAPS: caps or {}}, **params})

    def legacy(self, version="2025-06-18", caps=None):
        answer = self.ask("initialize", {"protocolVersion": version, "capabilities": caps or {}, "clientInfo": {"name": "t", "version": "1"}})
        self.raw('{"jsonrpc":"2.0","method":"notifications/initialized"}')
        return answer["result"]

    def call(self, name, /, **arguments):
        return self.ask("tools/call", {"name": name, "arguments": arguments})

    def end(self):
        self.p.stdin.close()
        rest = self.p.stdout.read()
        return self.p.wait(timeout=30), rest


TOOLS = ["list_peers", "list_policies", "list_networks", "check_connectivity", "list_snapshots", "get_snapshot", "diff_snapshots",
         "check_connectivity_at", "create_policy", "delete_policy", "create_peer", "delete_peer", "plan_network_change", "apply_network_change"]
WRITES = {"create_policy", "delete_policy", "create_peer", "delete_peer", "apply_network_change"}

# --- without a login the tools are there, and say what to do
c = Client()
c.legacy()
ok([t["name"] for t in c.ask("tools/list")["result"]["tools"]] == TOOLS, "the tools are listed without latticed")
r = c.call("list_peers")["result"]
ok(r["isError"] is True and "lattice login" in r["content"][0]["text"], "a call says that a login is missing", r)
ok(cli("login", "--server-url", f"http://127.0.0.1:{d.port}", stdin=d.admin + "\n").returncode == 0, "lattice login")
ok(c.call("list_peers")["result"]["structuredContent"] == {"items": []}, "a login is noticed while it runs")
ok(c.end() == (0, b""), "it ends at the end of its input")

# --- legacy era
c = Client("--workspace", "net")
r = c.ask("tools/list")
ok(r["error"]["code"] == -32602 and "initialize" in r["error"]["message"], "before initialize nothing but a ping is answered", r)
ok(c.ask("ping")["result"] == {}, "… a ping is")
for asked, told in (("2024-11-05", "2024-11-05"), ("2025-11-25", "2025-11-25"), ("2030-01-01", "2025-11-25")):
    ok(c.legacy(asked)["protocolVersion"] == told, f"initialize {asked} is answered with {told}")
r = c.legacy()
ok(r["serverInfo"]["name"] == "lattice" and r["capabilities"] == {"tools": {}}, "it says what it is", r)
tools = c.ask("tools/list")["result"]["tools"]
ok([t["name"] for t in tools] == TOOLS, "the fourteen tools are listed")
ok({t["name"] for t in tools if not t["annotations"]["readOnlyHint"]} == WRITES, "those that write say so")
ok(next(t for t in tools if t["name"] == "create_policy")["inputSchema"]["required"] == ["name", "network", "action"], "arguments have their schema")
d.enrol("web", namespace="net", allowedDestinations=["allow 192.0.2.7:443"])
r = c.call("list_peers")["result"]
ok(r["isError"] is False and r["structuredContent"]["items"][0]["name"] == "web" and json.loads(r["content"][0]["text"]) == r["structuredContent"]["items"],
   "list_peers answers from latticed, as text and structure", r)
ok(c.call("check_connectivity", **{"from": "web", "to": "192.0.2.7"})["result"]["structuredContent"]["tcpPorts"] ==
   [{"from": 443, "to": 443, "rule": "allow 192.0.2.7:443"}], "check_connectivity")
ok({n["name"] for n in c.call("list_networks")["result"]["structuredContent"]["items"]} == {"default", "internet"}, "list_networks")
when = {"from": "2020-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}
shot = c.call("list_snapshots", **when)["result"]["structuredContent"]["items"][0]["id"]
ok(c.call("get_snapshot", id=shot)["result"]["structuredContent"]["peers"][0]["name"] == "web", "list_snapshots and get_snapshot")
ok(c.call("diff_snapshots", from_id=shot, to_id=shot)["result"]["structuredContent"] == {"items": []}, "diff_snapshots")
ok(c.call("check_connectivity_at", snapshot_id=shot, **{"from": "web", "to": "192.0.2.7:80"})["result"]["structuredContent"]["reachable"] is False, "check_connectivity_at")
r = c.call("check_connectivity", **{"from": "nobody", "to": "web"})["result"]
ok(r["isError"] is True and "nobody" in r["content"][0]["text"], "what latticed refuses is the tool's error", r)

# --- approvals, where the client cannot ask
r = c.call("create_policy", name="p", network="internet", action="DENY")["result"]
approval = r["structuredContent"]["approvalId"]
ok(r["isError"] is False and r["structuredContent"]["status"] == "pending" and f"lattice approvals approve {approval}" in r["content"][0]["text"],
   "a change waits, and names its approval", r)
ok(c.call("list_policies")["result"]["structuredContent"]["items"] == [], "… and is not made")
out = cli("approvals", "list")
ok(out.returncode == 0 and approval in out.stdout and "create_policy" in out.stdout and '"DENY"' in out.stdout, "lattice approvals list shows what is asked", out)
ok(json.loads(cli("approvals", "list", "--json").stdout)["id"] == approval, "… and as JSON")
out = cli("approvals", "approve", approval)
ok(out.returncode == 0 and "executed" in out.stdout, "lattice approvals approve", out)
ok(cli("approvals", "approve", approval).returncode == 1, "… once")
ok(cli("approvals", "approve", "ap-0").returncode == 5 and cli("approvals", "approve").returncode == 2, "what is not there, and what is not said")
r = c.call("create_policy", name="p", network="internet", action="DENY")["result"]
ok(r["structuredContent"] == {"type": "policy", "name": "p", "change": "created"}, "the same call then has its result", r)
approval = c.call("delete_policy", name="p")["result"]["structuredContent"]["approvalId"]
out = cli("approvals", "reject", approval)
ok(out.returncode == 0 and "rejected" in out.stdout, "lattice approvals reject", out)
r = c.call("delete_policy", name="p")["result"]
ok(r["isError"] is True and "rejected" in r["content"][0]["text"], "who asked is told", r)
ok(len(c.call("list_policies")["result"]["structuredContent"]["items"]) == 1, "… and nothing was changed")

# --- bad input: the right error, never silence
for line, code in (("{", -32700), ("[]", -32600), ('{"jsonrpc":"2.0","id":7}', -32600), ('{"jsonrpc":"1.0","id":7,"method":"ping"}', -32600),
                   ('{"jsonrpc":"2.0","id":7,"method":"nope"}', -32601), ('{"jsonrpc":"2.0","id":7,"method":"resources/list"}', -32601),
                   ('{"jsonrpc":"2.0","id":7,"method":"server/discover"}', -32601),
                   ('{"jsonrpc":"2.0","id":7,"method":"tools/call"}', -32602), ('{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"nope"}}', -32602),
                   ('{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"list_peers","name":"list_networks"}}', -32700),
                   ('{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"cursor":"x"}}', -32602),
                   ('{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"_meta":{"%s":"2026-07-28"}}}' % VERSION, -32602),
                   ('{"jsonrpc":"2.0","id":7,"method":"ping","params":3}', -32600), (b"\xff", -32700), ("x" * (17 << 20), -32700)):
    c.raw(line)
    got = c.read()
    ok(got["error"]["code"] == code, f"{line[:60]!r} is answered with {code}", got)
ok(c.ask("ping")["result"] == {}, "and it lives on")
for arguments in ({"nope": 1}, {"from": 3, "to": "x"}, {"from": "a"}, {"from": "", "to": "b"}):
    r = c.call("check_connectivity", **arguments)["result"]
    ok(r["isError"] is True and "structuredContent" not in r, f"arguments {arguments} are the tool's error", r)
ok(c.end() == (0, b""), "it ends in order")

# --- elicitation, legacy: the user is asked by a request
c = Client("--workspace", "net")
c.legacy(caps={"elicitation": {}})


def elicit(answer, name="q"):
    c.send("tools/call", {"name": "create_policy", "arguments": {"name": name, "network": "default", "action": "ALLOW"}})
    question = c.read()
    assert question["method"] == "elicitation/create" and name in question["params"]["message"], question
    c.raw(json.dumps({"jsonrpc": "2.0", "id": question["id"], **answer}))
    got = c.read()
    assert got["id"] == c.id, got
    return got["result"]


for answer in ({"result": {"action": "decline"}}, {"result": {"action": "cancel"}}, {"result": {"action": "accept", "content": {"approve": False}}},
               {"result": {"action": "accept"}}, {"error": {"code": -32601, "message": "no"}}):
    r = elicit(answer)
    ok(r["isError"] is True and len(c.call("list_policies")["result"]["structuredContent"]["items"]) == 1, f"{json.dumps(answer)} changes nothing", r)
r = elicit({"result": {"action": "accept", "content": {"approve": True}}})
ok(r["isError"] is False and r["structuredContent"]["change"] == "created", "the user's yes carries it out", r)
seen = [json.loads(x) for x in cli("approvals", "list", "--state", "executed", "--json").stdout.splitlines()]
ok(seen[0]["via"] == "mcp-elicitation", "and it is recorded how", seen)
c.end()

# --- modern era: no session, the user is asked by the result
c = Client("--workspace", "net")
r = c.modern("server/discover")["result"]
ok(r["supportedVersions"][0] == "2026-07-28" and r["resultType"] == "complete" and r["_meta"][INFO]["name"] == "lattice" and r["ttlMs"] >= 0 and
   r["cacheScope"] == "public", "server/discover", r)
ok(len(c.modern("tools/list")["result"]["tools"]) == 14, "tools/list needs no initialize")
r = c.modern("tools/list", version="2027-01-01")["error"]
ok(r["code"] == -32022 and r["data"]["requested"] == "2027-01-01" and "2026-07-28" in r["data"]["supported"], "an unknown revision is refused with those we know", r)
for method in ("initialize", "ping", "logging/setLevel", "resources/subscribe"):
    ok(c.modern(method)["error"]["code"] == -32601, f"{method} is no method of the modern era")
r = c.modern("tools/call", name="list_peers")["result"]
ok(r["structuredContent"]["items"][0]["name"] == "web" and r["resultType"] == "complete", "absent arguments are none", r)
what = {"name": "delete_policy", "arguments": {"name": "q"}}
r = c.modern("tools/call", **what)["result"]
ok(r["structuredContent"]["status"] == "pending", "without elicitation the answer names the approval", r)
can = {"elicitation": {"form": {}}}
r = c.modern("tools/call", caps=can, **what)["result"]
state = r["requestState"]
ok(r["resultType"] == "input_required" and r["inputRequests"]["approve"]["method"] == "elicitation/create", "with it the user is asked", r)
yes = {"approve": {"action": "accept", "content": {"approve": True}}}
for bad, why in ((dict(what, arguments={"name": "p"}), "other arguments"), (dict(what, name="delete_peer"), "another tool")):
    got = c.modern("tools/call", caps=can, requestState=state, inputResponses=yes, **bad)
    ok(got["error"]["code"] == -32602, f"a yes does not count for {why}", got)
got = c.modern("tools/call", caps=can, requestState=state[:-1] + ("0" if state[-1] != "0" else "1"), inputResponses=yes, **what)
ok(got["error"]["code"] == -32602, "nor with a state that was tampered with", got)
ok(len(c.modern("tools/call", name="list_policies")["result"]["structuredContent"]["items"]) == 2, "nothing was changed so far")
got = c.modern("tools/call", caps=can, requestState=state, inputResponses=yes, **what)["result"]
ok(got["structuredContent"]["change"] == "removed", "the user's yes carries it out", got)
got = c.modern("tools/call", caps=can, requestState=state, inputResponses=yes, **what)["result"]
ok(got["isError"] is True and "before" in got["content"][0]["text"], "… once", got)
c.legacy("2025-11-25")
ok(c.ask("ping")["result"] == {} and "resultType" in c.modern("tools/list")["result"] and "resultType" not in c.ask("tools/list")["result"],
   "one process speaks both eras, request by request")
c.end()

# --- records
log = (d.dir / "data/audit.jsonl").read_text()
ok('"tool":"delete_policy"' in log and "approval ap-" in log, "calls and decisions are recorded")
d.stop()
c = Client("--workspace", "net")
c.legacy()
r = c.call("list_peers")["result"]
ok(r["isError"] is True, "latticed away is the tool's error", r)
c.end()
d.done()
sys.exit(1 if control.failed else 0)
