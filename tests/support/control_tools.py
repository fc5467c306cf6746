# SPDX-License-Identifier: Apache-2.0
"""latticed's own tools over REST: what they answer, how they refuse, and that each call is a span."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import control
from control import ISO, Latticed, is_problem, ok

CALL, HUMAN, LIST = "/api/v1/agents/tools/call", "/api/v1/ai/tools/call", "/api/v1/ai/tools"
ALL = ["check_connectivity", "check_connectivity_at", "diff_snapshots", "get_snapshot", "list_networks", "list_peers", "list_policies",
       "list_snapshots"]
d = Latticed("--no-nats")
begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 5))
ever = {"from": begun, "to": "2100-01-01T00:00:00Z"}
bot = d.enrol("bot", allowedTools=ALL + ["no_such_tool"], allowedDestinations=["allow *.example.org:443", "allow 10.100.0.0/16:22"])
few = d.enrol("few", allowedTools=["list_peers"])


def call(tool, input=None, token=bot["jwt"], **more):
    return d.call("POST", CALL, {"tool": tool, **({} if input is None else {"input": input}), **more}, token)


def human(tool, input=None, workspace="team"):
    return d.call("POST", HUMAN, {"tool": tool, "workspaceId": workspace, **({} if input is None else {"input": input})}, d.admin)


# --- what may be called is listed, and is what can be called
names = [t["name"] for t in d.call("GET", LIST, token=d.admin).data]
ok(names == ALL, "the administrator sees every tool", names)
ok([t["name"] for t in d.call("GET", LIST, token=few["jwt"]).data] == ["list_peers"], "an agent sees those that it may call")
ok(is_problem(d.call("GET", LIST), 401) and is_problem(d.call("GET", LIST, token=d.gateway), 403), "nobody else sees the list")
arguments = {"check_connectivity": {"from": "bot", "to": "few:22"}, "list_snapshots": ever}
snapshots = call("list_snapshots", ever).data["result"]
ok([s["triggerType"] for s in snapshots] == ["enrolled"] * 2, "each change of the live set is a snapshot", snapshots)
arguments["get_snapshot"] = {"id": snapshots[0]["id"]}
arguments["diff_snapshots"] = {"from_id": snapshots[1]["id"], "to_id": snapshots[0]["id"]}
arguments["check_connectivity_at"] = {"snapshot_id": snapshots[0]["id"], **arguments["check_connectivity"]}
for tool in ALL:
    mine, theirs = call(tool, arguments.get(tool)), human(tool, arguments.get(tool))
    ok(mine.status == theirs.status == 200 and mine.data["result"] == theirs.data["result"], f"{tool} answers agent and administrator alike", (mine, theirs))
    refused = call(tool, arguments.get(tool), few["jwt"]) if tool != "list_peers" else call(tool, None, few["jwt"], namespace="other")
    ok(is_problem(refused, 403) and f'agent "few" is not permitted to call "{tool}"' in refused.json["msg"], f"{tool} is refused where it is not allowed", refused)

# --- what they say
r = call("check_connectivity", {"from": "bot", "to": "few:22"}).data["result"]
ok(r["reachable"] and r["address"] == few["localIP"] and r["decisions"][0]["rule"] == "allow 10.100.0.0/16:22", "reachable, by which rule", r)
r = call("check_connectivity", {"from": "few", "to": "bot:22"}).data["result"]
ok(not r["reachable"] and r["decisions"][0]["reason"] == "no_rule", "the other way it is not", r)
ok([p["name"] for p in call("list_policies").data["result"]] == ["bot", "few"], "policies are those of the live agents")
d.revoke("few")
gone = call("list_snapshots", {**ever, "triggerType": "revoked"}).data["result"]
ok(len(gone) == 1 and int(gone[0]["id"]) > int(snapshots[0]["id"]), "a revocation is a snapshot", gone)
r = call("diff_snapshots", {"from_id": snapshots[0]["id"], "to_id": gone[0]["id"]}).data["result"]
ok(r == [{"change": "removed", "name": "few"}], "the difference names who went", r)
r = call("check_connectivity", {"from": "few", "to": "bot:22"})
ok(is_problem(r, 404), "an agent that has ended reaches nothing", r)
r = call("check_connectivity_at", {"snapshot_id": snapshots[0]["id"], "from": "few", "to": "bot:22"})
ok(r.status == 200 and r.data["result"]["to"] == "bot:22", "in the snapshot it still lives", r)

# --- how they refuse: honest words, honest spans
for what, tool, input, status in (("an unknown tool that is allowed", "no_such_tool", None, 404), ("an unknown argument", "list_peers", {"x": "y"}, 400),
                                  ("a missing argument", "check_connectivity", {"from": "bot"}, 400), ("a number", "get_snapshot", {"id": 3}, 400),
                                  ("a snapshot that is none", "get_snapshot", {"id": "99999"}, 404), ("a stranger", "check_connectivity", {"from": "ghost", "to": "bot"}, 404),
                                  ("a bad time", "list_snapshots", {"from": "x", "to": "y"}, 400), ("no object", "list_peers", [], 400)):
    ok(is_problem(call(tool, input), status), f"{what} is {status}", call(tool, input))
look_alikes = ["List_peers", "list_peers ", "list_peers\u200b", "list\u043f", "ｌist_peers", "lattice__list_peers", "list_peers\n", "../list_peers", ""]
for name in look_alikes:
    r = call(name)
    ok(r.status == 403 and r.json["msg"].endswith("(tool_not_allowed)"), f"{name!r} is not list_peers", r)
doubled = d.call("POST", CALL, raw=b'{"tool":"list_peers","tool":"no_such_tool"}', token=bot["jwt"])
ok(is_problem(doubled, 400), "a doubled tool name is refused", doubled)
ok(is_problem(d.call("POST", CALL, raw=b'{"tool":"list_peers\\u0000"}', token=bot["jwt"]), 400), "a NUL in it, too")
spans = d.call("GET", ISO + "/audit/traces?agentId=bot&limit=1000", token=d.admin).data["items"]
ok({s["status"] for s in spans} == {"ok", "error", "blocked"}, "calls that worked, failed and were refused are spans", {s["status"] for s in spans})
errors = {s["errorMsg"] for s in spans if s["status"] == "error"}
ok('there is no tool "no_such_tool" here' in errors and 'there is no live agent "ghost" in namespace "team"' in errors, "with the words of the answer", errors)
mine = d.call("GET", ISO + "/audit/traces?agentId=admin&limit=1000", token=d.admin).data["items"]
ok(len(mine) == len(ALL) and {s["reason"] for s in mine} == {"not_an_agent"}, "the administrator's calls are recorded, too", len(mine))
ok(is_problem(d.call("POST", HUMAN, {"tool": "list_peers"}, bot["jwt"]), 403), "an agent does not pass as a human")
ok(is_problem(call("list_peers", None, d.admin), 403), "nor the administrator as an agent")
for tool in ALL:
    r = human(tool, arguments.get(tool), "elsewhere")
    text = r.body.decode()
    ok('"bot"' not in text.replace('"from":"bot"', "") and '"few"' not in text, f"{tool} in another namespace shows nothing of this one", r)
metrics = d.call("GET", "/metrics").body.decode()
ok("lattice_http_failed_total 0" in metrics, "no answer was a 5xx")
ok(d.stop() == 0, "SIGTERM ends it in order")
d.done()
sys.exit(1 if control.failed else 0)
