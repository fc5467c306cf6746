# SPDX-License-Identifier: Apache-2.0
"""Every route of latticed through prism, which holds requests and answers against openapi.json.

The document is made stricter first: an answer may have no member that is not described. What prism
refuses by the request's schema, latticed must refuse too (differential).
"""
import atexit
import json
import os
import pathlib
import re
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(__file__))
import control
from control import ISO, Latticed, is_problem, new_key, ok

TOOLS, PEERS, TRACES = "/api/v1/agents/tools/call", "/api/v1/gateway/peers", ISO + "/audit/traces"
source = pathlib.Path(__file__).resolve().parent.parent.parent / "control/openapi.json"
with_nats = any(os.access(p, os.X_OK) for p in ("/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"))
d = Latticed() if with_nats else Latticed("--no-nats")  # with NATS an agent is told more
text = json.loads(source.read_text())
ok(d.call("GET", "/api/v1/openapi.json").json == text, "the served document is the tree's")

home = dict(os.environ, HOME=str(d.dir), REDOCLY_TELEMETRY="off", REDOCLY_SUPPRESS_UPDATE_NOTICE="true")
lint = subprocess.run(["redocly", "lint", str(source)], capture_output=True, text=True, env=home, timeout=120, cwd=d.dir)
ok(lint.returncode == 0 and "error" not in lint.stderr.lower(), "redocly finds no fault", lint.stdout + lint.stderr)


def strict(schema):
    """No undescribed members, here and below."""
    if isinstance(schema, list):
        for each in schema:
            strict(each)
    elif isinstance(schema, dict):
        for each in schema.values():
            strict(each)
        if "allOf" in schema:
            schema["unevaluatedProperties"] = False
        elif schema.get("type") == "object" and "properties" in schema and not schema.get("x-open"):
            schema.setdefault("additionalProperties", False)


parts = {id(p) for s in text["components"]["schemas"].values() for p in s.get("allOf", [])}
for path in text["paths"].values():
    for operation in path.values():
        if isinstance(operation, dict):
            strict(operation["responses"])
composed = set(re.findall(r'"allOf": \[\{"\$ref": "#/components/schemas/(\w+)"', json.dumps(text)))
for name, schema in text["components"]["schemas"].items():
    if name not in composed:
        strict(schema)
(d.dir / "strict.json").write_text(json.dumps(text))
prism = subprocess.Popen(["prism", "proxy", str(d.dir / "strict.json"), f"http://127.0.0.1:{d.port}", "--errors", "-h", "127.0.0.1", "-p", "0"],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(home, NO_COLOR="1"))
atexit.register(prism.kill)
port = None
for line in prism.stdout:
    found = re.search(r"listening on http://127.0.0.1:(\d+)", line)
    if found:
        port = int(found.group(1))
        break
if port is None:
    print("not ok - prism did not start")
    sys.exit(1)
threading.Thread(target=lambda: [None for _ in prism.stdout], daemon=True).start()
direct, walked = d.port, set()
templates = {path: re.compile("^" + re.sub(r"\{\w+\}", "[^/]+", path) + "$") for path in text["paths"]}


def through(method, path, *rest, **named):
    """The same call by way of prism."""
    d.port = port
    try:
        reply = d.call(method, path, *rest, **named)
    finally:
        d.port = direct
    for template, pattern in templates.items():
        if pattern.match(path.split("?")[0]):
            walked.add((method.lower(), template, reply.status))
    return reply


def passes(what, status, method, path, *rest, **named):
    r = through(method, path, *rest, **named)
    fits = r.status == status and b"stoplight.io/prism/errors" not in r.body
    ok(fits and (status < 400 or is_problem(r, status)), f"{what}: {status}, as described", r)
    return r


# --- success on every route
create = ISO + "/enrollment-tokens"
grant = {"namespace": "team", "allowedTools": ["list_peers"], "ttlSeconds": 600, "agentTtlSeconds": 3600, "allowedNamespaces": ["team"],
         "allowedDestinations": ["allow example.org:443"], "enforcementMode": "enforce", "auditLevel": "full"}
token = passes("create a token", 201, "POST", create, grant, d.admin, {"Idempotency-Key": "one"}).data["token"]
passes("create it again", 201, "POST", create, grant, d.admin, {"Idempotency-Key": "one"})
gate = {"publicKey": new_key(), "endpoint": "192.0.2.1:51820"}
passes("announce the gateway", 200, "PUT", "/api/v1/gateway", gate, d.gateway)
redeem = {"enrollmentToken": token, "agentName": "bot", "publicKey": new_key(), "sandbox": "pod"}
bot = passes("register", 200, "POST", ISO + "/register", redeem).data
passes("renew", 200, "POST", ISO + "/token", {"refreshToken": bot["refreshToken"]})
passes("self", 200, "GET", ISO + "/self", token=bot["jwt"])
etag = passes("peers", 200, "GET", PEERS, token=d.gateway).headers["etag"]
passes("peers, unchanged", 304, "GET", PEERS + "?wait=0", token=d.gateway, headers={"If-None-Match": etag})
wish = {"agentName": "kid", "requestedTools": ["list_peers"], "requestedNamespaces": ["team"], "requestedDestinations": ["allow example.org:443"],
        "ttlSeconds": 60, "enforcementMode": "audit", "auditLevel": "write", "sandbox": "none"}
kid = passes("delegate", 201, "POST", ISO + "/delegate", wish, bot["jwt"]).data["enrollmentToken"]
passes("register a child", 200, "POST", ISO + "/register", {"enrollmentToken": kid, "agentName": "kid", "publicKey": new_key()})
call = passes("call a tool", 200, "POST", TOOLS, {"tool": "list_peers", "input": {}, "namespace": "team"}, bot["jwt"]).data
passes("call a tool as a human", 200, "POST", "/api/v1/ai/tools/call", {"tool": "list_policies", "workspaceId": "team"}, d.admin)
passes("list tools", 200, "GET", "/api/v1/ai/tools", token=d.admin)
APPROVALS = "/api/v1/approvals"
asked = [passes("ask for a change", 202, "POST", "/api/v1/ai/tools/call", {"tool": "delete_policy", "workspaceId": "team", "input": {"name": f"p{i}"}},
                d.admin).data["approval"]["id"] for i in range(2)]
passes("list approvals", 200, "GET", APPROVALS + "?state=pending&limit=1", token=d.admin)
passes("show an approval", 200, "GET", f"{APPROVALS}/{asked[0]}", token=d.admin)
passes("approve", 200, "POST", f"{APPROVALS}/{asked[0]}/approve", {"via": "test"}, d.admin)
passes("reject", 200, "POST", f"{APPROVALS}/{asked[1]}/reject", {}, d.admin)
passes("reject again", 409, "POST", f"{APPROVALS}/{asked[1]}/reject", {}, d.admin)
passes("list tokens", 200, "GET", create + "?limit=1", token=d.admin)
passes("list agents", 200, "GET", ISO + "/agents?workspace=team&limit=1", token=d.admin)
passes("list children", 200, "GET", ISO + "/agents?parentRef=bot", token=d.admin)
passes("show an agent", 200, "GET", ISO + "/agents/kid?namespace=team", token=d.admin)
passes("traces", 200, "GET", TRACES + "?agentId=bot&limit=1", token=d.admin)
passes("trace summaries", 200, "GET", ISO + "/audit/trace-summaries?agentId=bot&limit=1", token=d.admin)
passes("one trace", 200, "GET", f"{TRACES}/{call['traceId']}", token=d.admin)
passes("call tree", 200, "GET", ISO + "/audit/agents/bot/calltree", token=d.admin)
passes("flow events", 200, "GET", ISO + "/flow-events?agentId=bot", token=d.admin)
for path in ("/api/v1/discovery", "/api/v1/openapi.json", "/.well-known/jwks.json", "/healthz", "/readyz", "/metrics"):
    passes(path, 200, "GET", path)

# --- refusals that the request's schema cannot know
stranger = bot["jwt"][:-4] + "AAAA"
for method, path, body in (("GET", create, None), ("GET", ISO + "/agents", None), ("GET", ISO + "/self", None), ("GET", PEERS, None),
                           ("POST", create, grant), ("POST", ISO + "/delegate", wish), ("POST", TOOLS, {"tool": "x"}), ("PUT", "/api/v1/gateway", gate),
                           ("GET", TRACES, None), ("GET", TRACES + "/x", None), ("GET", ISO + "/audit/trace-summaries", None), ("GET", ISO + "/audit/agents/bot/calltree", None),
                           ("GET", ISO + "/flow-events", None), ("DELETE", ISO + "/agents/bot?namespace=team", None),
                           ("GET", ISO + "/agents/bot?namespace=team", None), ("DELETE", create + "/0000000000000000", None),
                           ("GET", APPROVALS, None), ("GET", f"{APPROVALS}/{asked[0]}", None), ("POST", f"{APPROVALS}/{asked[0]}/approve", {}),
                           ("POST", f"{APPROVALS}/{asked[0]}/reject", {}), ("GET", "/api/v1/ai/tools", None), ("POST", "/api/v1/ai/tools/call", {"tool": "x"})):
    passes(f"{method} {path} with a forged token", 401, method, path, body, stranger)
    passes(f"{method} {path} with another role's", 403, method, path, body, d.admin if path in (ISO + "/self", ISO + "/delegate", TOOLS) else
           d.gateway if "/ai/tools" in path else bot["jwt"])
passes("a token that is used", 400, "POST", ISO + "/register", redeem)
other = d.token()
passes("a name that lives", 409, "POST", ISO + "/register", {**redeem, "enrollmentToken": other, "publicKey": new_key()})
passes("a token for another", 403, "POST", ISO + "/register", {**redeem, "enrollmentToken": d.token(agentName="me"), "publicKey": new_key()})
passes("a refresh token that is none", 401, "POST", ISO + "/token", {"refreshToken": "lt-refresh-" + "0" * 64})
passes("an idempotency key of another request", 422, "POST", create, {**grant, "ttlSeconds": 5}, d.admin, {"Idempotency-Key": "one"})
passes("a tool that is not allowed", 403, "POST", TOOLS, {"tool": "list_networks"}, bot["jwt"])
passes("a tool that is none", 404, "POST", "/api/v1/ai/tools/call", {"tool": "nothing"}, d.admin)
passes("a tool's argument", 400, "POST", "/api/v1/ai/tools/call", {"tool": "get_snapshot", "input": {"id": 5}}, d.admin)
passes("an approval that is none", 404, "GET", APPROVALS + "/nothing", token=d.admin)
passes("an agent that is none", 404, "GET", ISO + "/agents/ghost?namespace=team", token=d.admin)
passes("revoking one that is none", 404, "DELETE", ISO + "/agents/ghost?namespace=team", token=d.admin)
passes("a token that is none", 404, "DELETE", create + "/0000000000000000", token=d.admin)
passes("a trace that is none", 404, "GET", TRACES + "/nothing", token=d.admin)
passes("an unknown query member", 400, "GET", ISO + "/agents?limt=1", token=d.admin)

# --- what the schema refuses, latticed refuses
bodies = [("POST", create, grant, d.admin), ("POST", ISO + "/register", redeem, None), ("POST", ISO + "/delegate", wish, bot["jwt"]),
          ("POST", ISO + "/token", {"refreshToken": bot["refreshToken"]}, None), ("POST", TOOLS, {"tool": "list_peers", "input": {}, "namespace": "team"}, bot["jwt"]),
          ("POST", "/api/v1/ai/tools/call", {"tool": "list_peers", "input": {}, "workspaceId": "team"}, d.admin), ("PUT", "/api/v1/gateway", gate, d.gateway)]
wrong = [None, True, 5, 1.5, -1, 0, 10 ** 15, "", "A b", [], [5], ["A b"], {}, {"a": 1}, "a" * 300, [f"a{i}" for i in range(300)]]
refused, disagreed = 0, []
for method, path, body, bearer in bodies:
    changed = [{**body, "undescribed": 1}] + [{**body, key: value} for key in body for value in wrong]
    required = text["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]["schema"].get("required", [])
    changed += [{k: v for k, v in body.items() if k != key} for key in required]
    for each in changed:
        r = through(method, path, each, bearer)
        if r.status == 422 and b"stoplight.io/prism/errors" in r.body:  # prism's own: latticed was not asked
            refused += 1
            answer = d.call(method, path, each, bearer)
            if not is_problem(answer, 400):
                disagreed.append((path, each, answer))
        elif r.status >= 500 or b"stoplight.io/prism/errors" in r.body:
            disagreed.append((path, each, r))
ok(refused > 150 and not disagreed, f"latticed refuses every body that the schema refuses ({refused})", disagreed[:3])

# --- the end of the walk
passes("revoke", 200, "DELETE", ISO + "/agents/bot?namespace=team", token=d.admin)
passes("self, revoked", 401, "GET", ISO + "/self", token=bot["jwt"])
listed = d.call("GET", create + "?limit=200", token=d.admin).data["items"]
passes("remove a token", 204, "DELETE", f"{create}/{listed[-1]['id']}", token=d.admin)
good = {(m, p) for m, p, status in walked if status < 300}
missing = [(m, p) for p, v in text["paths"].items() for m in v if m in ("get", "post", "put", "delete") and (m, p) not in good]
ok(not missing, "no route was left out", missing)
ok("lattice_http_failed_total 0" in d.call("GET", "/metrics").body.decode(), "no answer was a 5xx")
prism.kill()
prism.wait()
d.stop()
d.done()
sys.exit(1 if control.failed else 0)
