# SPDX-License-Identifier: Apache-2.0
"""Live: a parent agent delegates a child; latticed shows both as one trace: agents, programs, flows, verdicts with rules."""
import json
import os
import subprocess
import sys

import control
from control import ISO, ok
from enroll_world import LATTICE, World, wait_for

if not any(os.access(p, os.X_OK) for p in ("/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server")):
    print("SKIP: nats-server is not installed")
    sys.exit(77)

world = World()
latticed = world.latticed
other = "http://192.0.2.9/"  # which no identity names (RFC 5737)
world.start_gateway()
allowed = [f"allow 127.0.0.1:{world.web.port}"]
ask = ('curl -sS -m 10 -H "Authorization: Bearer $(cat $LATTICE_TOKEN_FILE)" -H "Content-Type: application/json" '
       '-d \'{"agentName":"kid","requestedTools":[],"requestedDestinations":["%s"]}\' $LATTICE_SERVER_URL/api/v1/agent-isolation/delegate')


def spans(**query):
    text = "&".join(f"{k}={v}" for k, v in query.items())
    return latticed.call("GET", f"{ISO}/audit/traces?limit=1000&{text}", token=latticed.admin).data["items"]


parent = world.sandbox("parent", "sh", "-c", f"curl -sS -m 10 {world.web.url('small')} >&2; curl -sS -m 10 {other}; " + ask % allowed[0],
                       token=latticed.token(allowedDestinations=allowed))
ok(parent.wait() == 0, "the parent runs", parent.complained)
begin = parent.said.index('{"data"') if '{"data"' in parent.said else parent.said.index("{")
child = json.loads(parent.said[begin:])["data"]
wait_for(lambda: any(s["kind"] == "sandbox" for s in spans(agentId="parent")))
kid = world.sandbox("kid", "sh", "-c", f"curl -sS -m 10 {world.web.url('small')}; curl -sS -m 10 {other}; exit 4",
                    token=child["enrollmentToken"])
ok(kid.wait() == 4, "the child runs", kid.complained)
ok(wait_for(lambda: any(s["kind"] == "sandbox" and "durationMs" in s for s in spans(agentId="kid"))) is not None,
   "the child's records arrive by NATS", latticed.dir)
root = next(s for s in spans(agentId="parent") if s["kind"] == "sandbox")
theirs = next(s for s in spans(agentId="kid") if s["kind"] == "sandbox")
ok(theirs["traceId"] == root["traceId"] and theirs["parentSpanId"] == root["spanId"] and theirs["parentId"] == "parent",
   "parent and child are one trace", (root, theirs))
flows = latticed.call("GET", f"{ISO}/flow-events?traceId={root['traceId']}&limit=1000", token=latticed.admin).data["items"]
programs = {s["spanId"]: s["tool"] for s in spans(agentId="kid") + spans(agentId="parent")}
ok(flows and all(programs.get(f["spanId"]) == "exec:curl" for f in flows), "each flow belongs to the program that opened it", flows)
ok({f["verdict"] for f in flows} == {"allow", "drop"}, "allowed and refused ones", flows)

token = latticed.dir / "data/admin-token"
shown = subprocess.run([LATTICE, "audit", "trace", root["traceId"], "--server-url", world.url, "--token-file", token],
                       capture_output=True, text=True, env=world.environment())
ok(shown.returncode == 0 and all(x in shown.stdout for x in ("sandbox:parent", "sandbox:kid", "exec:curl", "192.0.2.9:80", "rule allow")),
   "lattice audit trace shows one tree, asked of latticed", shown)
lines = shown.stdout.splitlines()
ok(any(x.lstrip("│ ").startswith(("├─ sandbox:kid", "└─ sandbox:kid")) and not x.startswith(("├", "└")) for x in lines), "… the child below its parent", shown.stdout)
as_json = subprocess.run([LATTICE, "audit", "trace", root["traceId"], "--json", "--server-url", world.url, "--token-file", token],
                         capture_output=True, text=True, env=world.environment())
ok(as_json.returncode == 0 and json.loads(as_json.stdout)["traceId"] == root["traceId"], "… as JSON", as_json)
listed = subprocess.run([LATTICE, "audit", "traces", "--server-url", world.url, "--token-file", token],
                        capture_output=True, text=True, env=world.environment())
ok(listed.returncode == 0 and root["traceId"] in listed.stdout, "lattice audit traces asks latticed, too", listed)
print("".join(f"# {x}\n" for x in lines), end="")
sys.exit(1 if control.failed else 0)
