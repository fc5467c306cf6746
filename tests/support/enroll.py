# SPDX-License-Identifier: Apache-2.0
"""Live: enrol, start again, revoke; the gateway takes its peers from latticed."""
import json
import stat
import sys
import time

from control import ok
from enroll_world import Web, World, wait_for

world = World()
latticed = world.latticed
other = Web()  # a second page, which no identity names
world.start_gateway()


def curl(page):
    return ["curl", "-sS", "-m", "10", page]


def destinations(*ports):
    return [f"allow 127.0.0.1:{p}" for p in ports]


# ── Enrolling ────────────────────────────────────────────────────────────────────────────────────────────────────────
token = latticed.token(allowedDestinations=destinations(world.web.port), allowedTools=["read"])
first = world.sandbox("parent", "sh", "-c",
                      f"curl -sS -m 10 {world.web.url('small')}; curl -sS -m 10 {other.url('small')}; echo end=$?; "
                      'cat "$LATTICE_TOKEN_FILE"; tr "\\0" " " </proc/$PPID/cmdline',
                      token=token, label="first")
status = first.wait()
ok(status == 0, "a sandbox enrols by its token and runs its program", first.complained)
ok("canary-of-the-page" in first.said, "what its identity allows is reached through the gateway", first.said + first.complained)
ok("end=7" in first.said, "what its identity does not name is refused", first.said)
control = world.sandbox("control", *curl(other.url("small")), label="control",
                        token=latticed.token(allowedDestinations=destinations(other.port)))
control.wait()
ok("canary" in control.said, "… though it is there: another identity reaches it", control.complained)
ok(token not in first.complained, "the token is not repeated in messages")

file = world.dir / "parent.config/sandbox-credentials.json"
kept = json.loads(file.read_text())
ok(stat.S_IMODE(file.stat().st_mode) == 0o600, "the credentials are the owner's alone")
ok(len(kept["privateKey"]) == 44 and kept["jwt"].count(".") == 2, "… they hold privateKey and jwt")
ok(kept["jwt"] in first.said, "the agent reads its JWT in the file that LATTICE_TOKEN_FILE names")
reply = latticed.call("GET", "/api/v1/agent-isolation/agents", token=latticed.admin)
ok(kept["privateKey"] not in reply.body.decode(), "latticed does not know the private key")

again = world.sandbox("parent", *curl(world.web.url("small")), label="again")
ok(again.wait() == 0 and "canary" in again.said, "it starts again without a token", again.complained)
fresh = json.loads(file.read_text())["jwt"]
ok(fresh != kept["jwt"], "… with a renewed JWT")

used = world.sandbox("thief", "true", token=token, label="thief")
ok(used.wait() == 125 and "already used" in used.complained, "a token that was used enrols nobody else", used.complained)
nobody = world.sandbox("nobody", "true", label="nobody")
ok(nobody.wait() == 125 and "--token" in nobody.complained, "without credentials and token it does not start", nobody.complained)

# ── Delegating from inside ───────────────────────────────────────────────────────────────────────────────────────────
AGENT = r"""
import http.client, json, os, sys, urllib.error, urllib.request
base = os.environ["LATTICE_SERVER_URL"]
token = open(os.environ["LATTICE_TOKEN_FILE"]).read()
def ask(method, path, body=None, **headers):
    head = {"Authorization": "Bearer " + token, "Content-Type": "application/json"} | headers
    request = urllib.request.Request(base + path, json.dumps(body).encode() if body is not None else None, head, method=method)
    try:
        with urllib.request.urlopen(request, timeout=15) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as e:
        return e.code, json.load(e)
iso = "/api/v1/agent-isolation"
status, reply = ask("POST", iso + "/delegate", {"agentName": "child", "requestedTools": ["read", "write"],
                    "requestedDestinations": json.loads(sys.argv[1]), "ttlSeconds": 600})
print("delegate", status, json.dumps(reply.get("data")), flush=True)
for method, path in (("GET", iso + "/agents"), ("GET", iso + "/self"), ("POST", iso + "/token"), ("POST", iso + "/register"),
                     ("GET", "/healthz"), ("GET", "/metrics"), ("GET", "/"), ("POST", iso + "/delegate/"),
                     ("POST", iso + "/%64elegate"), ("POST", iso + "/delegate?x=1"), ("GET", iso + "/delegate")):
    print(method, path, ask(method, path, {} if method == "POST" else None)[0], flush=True)
print("forged", ask("POST", iso + "/delegate", {"agentName": "other"}, Authorization="Bearer no.such.token")[0], flush=True)
for port in (22, 81, 443):
    try:
        http.client.HTTPConnection("10.100.0.1", port, timeout=5).request("GET", "/")
        print("port", port, "open", flush=True)
    except OSError as e:
        print("port", port, type(e).__name__, flush=True)
"""
wanted = destinations(world.web.port, other.port)  # the second is not the parent's to give
asker = world.sandbox("parent", "/usr/bin/python3", "-c", AGENT, json.dumps(wanted), label="asker")
ok(asker.wait() == 0, "an agent runs that delegates", asker.complained)
said = asker.said.splitlines()
ok(bool(said) and said[0].startswith("delegate 201 "), "… by the REST API's route, through the tunnel", asker.said)
child = json.loads(said[0][len("delegate 201 "):])
ok(child["identity"]["allowedTools"] == ["read"], "the child has no tool that its parent has not", child)
ok(child["identity"]["allowedDestinations"] == destinations(world.web.port), "… and no destination", child)
for line in said[1:]:
    what, status = line.rsplit(" ", 1)
    if what == "forged":
        ok(status == "401", "a forged token is refused by latticed", line)
    elif what.startswith("port"):
        ok(status != "open", f"the gateway's {what} is not open", line)
    else:
        ok(status == ("405" if what == "GET /api/v1/agent-isolation/delegate" else "404"),
           f"from inside, there is no {what}", line)
ok(len(said) == 16, "… all were asked", said)
ok(latticed.call("GET", "/healthz").status == 200 and
   latticed.call("GET", "/api/v1/agent-isolation/self", token=kept["jwt"]).status == 200,
   "… which latticed serves to who reaches it outside")

kid = world.sandbox("child", "sh", "-c", f"curl -sS -m 10 {world.web.url('small')}; curl -sS -m 10 {other.url('small')}; echo end=$?",
                    token=child["enrollmentToken"], label="kid")
ok(kid.wait() == 0 and "canary" in kid.said, "the child enrols and reaches what it may", kid.said + kid.complained)
ok("end=7" in kid.said, "… and not what it asked for too much", kid.said)

# ── Revoking ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def download(name):
    program = world.sandbox(name, "sh", "-c", f"curl -sS -N {world.web.url('endless')}; exec sleep 60")
    ok(wait_for(lambda: program.out.stat().st_size > 1000) is not None, f"{name}: a download is open", program.complained)
    return program


bystander = world.sandbox("bystander", "sh", "-c", f"curl -sS -N {world.web.url('endless')}",
                          token=latticed.token(allowedDestinations=destinations(world.web.port)))
running = [download("parent"), download("child")]
begun = time.monotonic()
reply = latticed.revoke("parent")
ok(reply.status == 200 and reply.data["revoked"] == 2, "the parent is revoked, and its child with it", reply)
for program, name in zip(running, ("parent", "child")):
    status = program.wait(10)
    took = time.monotonic() - begun
    ok(status == 125 and took < 2, f"{name}: its sandbox ends within two seconds", f"{took:.3f} s, {status} {program.complained}")
    print(f"# {name}: {took:.3f} s after the revocation")
    ok("reset by peer" in program.complained, f"{name}: its download was reset", program.complained)
    ok("ended (Revoked)" in program.complained, f"{name}: it says why", program.complained)
    ok(not program.grows(), f"{name}: nothing more comes")
ok(wait_for(lambda: world.gateway.complained.count("was cut") >= 2, 2) is not None, "the gateway knows neither peer any more")
ok(bystander.grows(), "another agent's download goes on", bystander.complained)
bystander.end()
gone = world.sandbox("parent", "true", label="gone")
ok(gone.wait() == 125 and "ended" in gone.complained, "it does not start again", gone.complained)

sys.exit(1 if __import__("control").failed else 0)
