# SPDX-License-Identifier: Apache-2.0
"""Live: enrol, start again, revoke; the gateway takes its peers from latticed."""
import json
import os
import signal
import stat
import sys
import time

import control
from control import ok
from enroll_world import LATTICE, Program, Web, World, wait_for

world = World("--no-nats")
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
positive = world.sandbox("positive", *curl(other.url("small")),
                        token=latticed.token(allowedDestinations=destinations(other.port)))
positive.wait()
ok("canary" in positive.said, "… though it is there: another identity reaches it", positive.complained)
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

walled = world.sandbox("parent", "sh", "-c", f'cat "$LATTICE_TOKEN_FILE"; cat {file}; echo end=$?', label="walled",
                       options=("--files=workspace", "--read", world.dir))
ok(walled.wait() == 0 and walled.said.count(".") == 2, "with --files=workspace it reads its token", walled.said + walled.complained)
ok("end=1" in walled.said and "privateKey" not in walled.said, "… and not its private key, though the directory is named", walled.said)

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

# Each agent in its own name only: the tunnel says who asks, whatever token it holds.
SWAP = r"""
import json, os, sys, urllib.error, urllib.request
def ask(token, name):
    request = urllib.request.Request(os.environ["LATTICE_SERVER_URL"] + "/api/v1/agent-isolation/delegate",
                                     json.dumps({"agentName": name}).encode(),
                                     {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
    try:
        return urllib.request.urlopen(request, timeout=15).status
    except urllib.error.HTTPError as e:
        return f"{e.code} {json.load(e)['detail']}"
print("other", ask(sys.argv[1], "by-another"), flush=True)
print("own", ask(open(os.environ["LATTICE_TOKEN_FILE"]).read().strip(), "by-itself"), flush=True)
"""
parents = json.loads(file.read_text())["jwt"]
swap = world.sandbox("child", "/usr/bin/python3", "-c", SWAP, parents, label="swap")
ok(swap.wait() == 0 and "other 403 this token is another agent's" in swap.said, "a child with its parent's token is refused at the desk", swap.said + swap.complained)
ok("own 201" in swap.said, "… with its own it delegates", swap.said)
again = world.sandbox("parent", "/usr/bin/python3", "-c", SWAP, parents, label="unswapped")
ok(again.wait() == 0 and "other 201" in again.said, "… and the parent itself with that very token", again.said + again.complained)

cli = world.sandbox("parent", LATTICE, "delegate", "--tool", "read", "--json", "by-command", label="cli")
ok(cli.wait() == 0 and "lt-delegate-" in cli.said, "lattice delegate works inside as it is", cli.said + cli.complained)

ATTACK = r"""
import os, pathlib, resource, signal
def parent(pid): return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()[1])
supervisor = parent(os.getppid())
for path in pathlib.Path("/proc").glob("[0-9]*/comm"):
    try:
        pid = int(path.parent.name)
        if path.read_text() != "lattice-follow\n" or parent(pid) != supervisor: continue
    except OSError:
        continue
    for what, call in (("stop", lambda: os.kill(pid, signal.SIGSTOP)), ("kill", lambda: os.kill(pid, signal.SIGKILL)),
                       ("group", lambda: os.killpg(pid, signal.SIGSTOP)),
                       ("limit", lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1))),
                       ("memory", lambda: open(f"/proc/{pid}/mem", "rb").close())):
        try:
            call()
            print(what, "done", flush=True)
        except OSError as e:
            print(what, e.strerror, flush=True)
"""
attack = world.sandbox("parent", "/usr/bin/python3", "-c", ATTACK, label="attack")
ok(attack.wait() == 0 and [w.split()[0] for w in attack.said.splitlines()] == ["stop", "kill", "group", "limit", "memory"] and
   "done" not in attack.said, "an agent can neither stop, kill, limit nor read the process that follows latticed for it",
   attack.said + attack.complained)

# ── Revoking ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def download(name):
    # It does not listen to SIGTERM, so that nothing but the cut itself ends curl.
    program = world.sandbox(name, "sh", "-c", f"trap '' TERM; curl -sS -N {world.web.url('endless')}; exec sleep 60")
    ok(wait_for(lambda: program.out.stat().st_size > 1000) is not None, f"{name}: a download is open", program.complained)
    return program


bystander = world.sandbox("bystander", "sh", "-c", f"curl -sS -N {world.web.url('endless')}",
                          token=latticed.token(allowedDestinations=destinations(world.web.port)))
running = [download("parent"), download("child")]
begun = time.monotonic()
reply = latticed.revoke("parent")
ok(reply.status == 200 and reply.data["revoked"] == 2, "the parent is revoked, and its child with it", reply)
for program, name in zip(running, ("parent", "child")):
    ok(wait_for(lambda: "reset by peer" in program.complained, 5) is not None, f"{name}: its download is reset", program.complained)
    took = time.monotonic() - begun
    ok(took < 2, f"{name}: … within two seconds", took)
    print(f"# {name}: {took:.3f} s after the revocation")
for program, name in zip(running, ("parent", "child")):
    ok(program.wait(10) == 125, f"{name}: its sandbox ends, after its time to put things in order", program.complained)
    ok("ended (Revoked)" in program.complained, f"{name}: it says why", program.complained)
ok(wait_for(lambda: world.gateway.complained.count("was cut") >= 2, 2) is not None, "the gateway knows neither peer any more")
ok(wait_for(bystander.grows) is not None, "another agent's download goes on", bystander.complained)
bystander.end()
old = (world.dir / "parent.config/agent/token").read_text()
reply = latticed.call("POST", "/api/v1/agent-isolation/delegate", {"agentName": "late"}, old)
ok(reply.status == 401, "its token is refused, though it has not expired", reply)
stops = [r for r in map(json.loads, (world.dir / "parent.jsonl").read_text().splitlines()) if r["kind"] == "stop"]
ok("Revoked" in stops[-1].get("detail", ""), "its last record says why it ended", stops[-1])
gone = world.sandbox("parent", "true", label="gone")
ok(gone.wait() == 125 and "ended" in gone.complained, "it does not start again", gone.complained)

# ── Each side alone ──────────────────────────────────────────────────────────────────────────────────────────────────
def stolen(name):
    """A tunnel with the agent's key, of a program that follows nobody and judges nothing."""
    key = json.loads((world.dir / f"{name}.config/sandbox-credentials.json").read_text())["privateKey"]
    me = latticed.call("GET", "/api/v1/agent-isolation/self",
                       token=(world.dir / f"{name}.config/agent/token").read_text()).data
    path = world.dir / f"{name}.conf"
    path.touch(0o600)
    path.write_text(f"[Interface]\nPrivateKey = {key}\nAddress = {me['agent']['peerIP']}/32\n[Peer]\n"
                    f"PublicKey = {me['gateway']['publicKey']}\nEndpoint = {me['gateway']['endpoint']}\nAllowedIPs = 0.0.0.0/0\n")
    return path


def hostile(conf, label, *command):
    return Program(world.dir, label, LATTICE, "sandbox", "start", "--wg", conf, "--name", label, "--audit-log",
                   world.dir / f"{label}.jsonl", "--allow", "*:*", "--allow", "127.0.0.1:*", "--allow", "10.100.0.1:*", "--",
                   *command, env=world.environment())


ok(world.sandbox("victim", "true", token=latticed.token(allowedDestinations=destinations(world.web.port))).wait() == 0,
   "an agent enrols")
conf = stolen("victim")
probe = hostile(conf, "probe", "sh", "-c", f"curl -sS -m 5 {world.web.url('small')}; curl -sS -m 5 {other.url('small')}; echo end=$?; "
                "curl -sS -m 5 http://10.100.0.2:80/; echo peer=$?; curl -sS -m 5 http://10.100.0.1:81/")
ok(probe.wait() is not None and "canary" in probe.said, "a sandbox that follows nobody gets through with the agent's key", probe.complained)
ok("end=7" in probe.said or "end=56" in probe.said, "… but the gateway itself refuses what the identity does not name", probe.said)


def inside():
    """What the gateway recorded of connections inside the tunnels' own network."""
    records = [json.loads(line) for line in (world.dir / "gateway.jsonl").read_text().splitlines(True) if line.endswith("\n")]
    return [(r["dst_ip"], r["dst_port"], r["verdict"]) for r in records
            if r.get("detail") == "the tunnels' own network" and r["identity"] == "victim"]


refused = [("10.100.0.2", 80, "drop"), ("10.100.0.1", 81, "drop")]
ok(wait_for(lambda: inside() == refused) is not None, "… nor any other agent's address, nor another port of its own", f"{inside()} {probe.said} {probe.complained}")
thief = hostile(conf, "thief", "sh", "-c", f"curl -sS -N {world.web.url('endless')}; echo over")
ok(wait_for(lambda: thief.out.stat().st_size > 1000) is not None, "… it has a download open", thief.complained)
begun = time.monotonic()
latticed.revoke("victim")
took = wait_for(lambda: "over" in thief.said, 5)
ok(took is not None and took < 2, "revoked: the gateway alone cuts it within two seconds", took)
thief.wait()
late = hostile(conf, "late", "curl", "-sS", "-m", "2", world.web.url("small"))
ok(late.wait() != 0 and "canary" not in late.said, "… and its key opens nothing any more", late.complained)

deaf = world.sandbox("deaf", "sh", "-c", f"curl -sS -N {world.web.url('endless')}; exec sleep 60",
                     token=latticed.token(allowedDestinations=destinations(world.web.port)))
ok(wait_for(lambda: deaf.out.stat().st_size > 1000) is not None, "another agent has a download open", deaf.complained)
follower = world.gateway.child("lattice-follow")
os.kill(follower, signal.SIGSTOP)  # from now on the gateway hears nothing
begun = time.monotonic()
latticed.revoke("deaf")
status = deaf.wait(10)
took = time.monotonic() - begun
ok(status == 125 and took < 2, "revoked while the gateway is deaf: the sandbox alone cuts within two seconds",
   f"{took} {status} {deaf.complained}")
os.kill(follower, signal.SIGCONT)
ok(wait_for(lambda: world.gateway.complained.count("was cut") >= 4, 5) is not None, "the gateway catches up when it hears again")

# ── latticed away, and back ──────────────────────────────────────────────────────────────────────────────────────────
steady = world.sandbox("steady", "sh", "-c", f"curl -sS -N {world.web.url('endless')}; exec sleep 60", options=["--renew", "1"],
                       token=latticed.token(allowedDestinations=destinations(world.web.port)))
ok(wait_for(lambda: steady.out.stat().st_size > 1000) is not None, "an agent has a download open", steady.complained)
path = world.dir / "steady.config/agent/token"
before = path.read_text()
ok(wait_for(lambda: path.read_text() not in ("", before)) is not None, "its token is renewed while it runs")
ok(stat.S_IMODE(path.stat().st_mode) == 0o600, "… in a file that is the owner's alone")
for program, what in ((steady, "the sandbox"), (world.gateway, "the gateway")):
    seen = program.child_status("lattice-follow")
    ok(seen["Seccomp"] == "2" and int(seen["CapEff"], 16) == 0 and int(seen["CapPrm"], 16) == 0 and seen["NoNewPrivs"] == "1",
       f"{what}'s follower has jailed itself", seen)
latticed.stop(signal.SIGKILL)
ok(wait_for(lambda: "cannot be followed" in steady.complained and "cannot be followed" in world.gateway.complained) is not None,
   "latticed is killed: sandbox and gateway say so", steady.complained + world.gateway.complained)
ok(wait_for(steady.grows) is not None, "… and the download goes on")
latticed.start(world.port)
ok(wait_for(lambda: "followed again" in steady.complained and "followed again" in world.gateway.complained) is not None,
   "latticed is back: both say so", steady.complained + world.gateway.complained)
ok(wait_for(steady.grows) is not None, "… and the download goes on")
before = path.read_text()
ok(wait_for(lambda: path.read_text() not in ("", before)) is not None, "… tokens are renewed again")
begun = time.monotonic()
latticed.revoke("steady")
status = steady.wait(10)
took = time.monotonic() - begun
ok(status == 125 and took < 2, "a revocation is heard at once", f"{took} {status} {steady.complained}")

# ── Rules that change while it runs ──────────────────────────────────────────────────────────────────────────────────
def policy(tool, /, **arguments):
    reply = latticed.call("POST", "/api/v1/ai/tools/call", {"tool": tool, "input": arguments, "workspaceId": "team"}, latticed.admin)
    approval = reply.data["approval"]["id"]
    return latticed.call("POST", f"/api/v1/approvals/{approval}/approve", {"via": "test"}, latticed.admin).status


def changes(label, name, program, limit_s=2):
    """A rule takes its connection away; without the rule it gets one again."""
    begun = time.monotonic()
    ok(policy("create_policy", name=name, network="internet", action="DENY", peerSelector={"matchLabels": {"name": "ruled"}}) == 200,
       f"{label}: a policy denies what was allowed")
    took = wait_for(lambda: not program.grows(), 5)
    ok(took is not None and took < limit_s, f"{label}: the open download is cut", f"{took} {time.monotonic() - begun}")
    ok(program.process.poll() is None, f"{label}: the program runs on", program.complained)
    ok(policy("delete_policy", name=name) == 200, f"{label}: the policy is removed")
    ok(wait_for(program.grows, 10) is not None, f"{label}: what was allowed is allowed again", program.complained)


PING = r"""
import errno, socket, sys, time
sock, last = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP), None
while True:
    try:
        sock.sendto(b"\x08" + bytes(15), ("192.0.2.1", 0))
        now = "sent"
    except OSError as e:
        now = errno.errorcode[e.errno]
    if now != last:
        print("a ping:", now, file=sys.stderr, flush=True)
    last = now
    time.sleep(0.05)
"""
loop = ["sh", "-c", f"while :; do curl -sS -N {world.web.url('endless')}; sleep 0.1; done"]
ruled = world.sandbox("ruled", "sh", "-c", '/usr/bin/python3 -c "$0" & shift; exec "$@"', PING, "-", *loop,
                      token=latticed.token(allowedDestinations=[*destinations(world.web.port), "allow icmp://192.0.2.1"]))
ok(wait_for(lambda: "a ping: sent" in ruled.complained) is not None, "an agent pings", ruled.complained)
ok(wait_for(lambda: ruled.out.stat().st_size > 1000) is not None, "an agent has a download open", ruled.complained)
changes("sandbox and gateway", "shut", ruled)
ok("a ping: EACCES" in ruled.complained, "… and its ping was refused meanwhile", ruled.complained)
ok(wait_for(lambda: ruled.complained.count("a ping: sent") == 2) is not None, "… and goes on", ruled.complained)
conf = stolen("ruled")
ruled.end()
alone = hostile(conf, "alone", *loop)
ok(wait_for(lambda: alone.out.stat().st_size > 1000) is not None, "a sandbox that follows nobody has one, too", alone.complained)
changes("the gateway alone", "shut-again", alone)
alone.end()

if os.environ.get("LATTICE_LONG"):
    hung = world.sandbox("hung", "sleep", "600", token=latticed.token())
    ok(wait_for(lambda: (world.dir / "hung.config/agent/token").exists()) is not None, "an agent runs")
    os.kill(hung.child("lattice-follow"), signal.SIGSTOP)
    ok(hung.wait(200) == 125 and "is silent" in hung.complained, "a sandbox whose follower hangs ends", hung.complained)

# ── Another gateway ──────────────────────────────────────────────────────────────────────────────────────────────────
mover = world.sandbox("mover", "sh", "-c", f"while :; do curl -sS -m 3 {world.web.url('small')}; sleep 0.2; done",
                      token=latticed.token(allowedDestinations=destinations(world.web.port)))
ok(wait_for(lambda: "canary" in mover.said) is not None, "an agent asks again and again", mover.complained)
world.gateway.end()
world.start_gateway("second")  # another key, another port
ok(wait_for(lambda: "has changed" in mover.complained) is not None, "the gateway is replaced: the sandbox hears of it", mover.complained)
ok(wait_for(lambda: world.gateway.complained.count("handshake completed")) is not None, "… and knocks at the new one")
ok(wait_for(mover.grows) is not None, "… and its agent gets answers again", mover.complained)
mover.end()

# ── The end that was known from the start ────────────────────────────────────────────────────────────────────────────
brief = world.sandbox("brief", "sh", "-c", f"curl -sS -N {world.web.url('endless')}; exec sleep 60",
                      token=latticed.token(allowedDestinations=destinations(world.web.port), agentTtlSeconds=3))
begun = time.monotonic()
ok(wait_for(lambda: brief.out.stat().st_size > 1000) is not None, "an agent that lives three seconds has a download open",
   brief.complained)
latticed.process.send_signal(signal.SIGSTOP)  # nobody will tell
status = brief.wait(10)
took = time.monotonic() - begun
latticed.process.send_signal(signal.SIGCONT)
ok(status == 125 and took < 5.5 and "expired" in brief.complained, "it ends by itself, without latticed's word",
   f"{took} {status} {brief.complained}")

ok(world.sandbox("mayfly", "true", token=latticed.token(allowedDestinations=destinations(world.web.port), agentTtlSeconds=4)).wait() == 0,
   "another one, that lives four seconds, enrols")
begun = time.monotonic()
fly = hostile(stolen("mayfly"), "fly", "sh", "-c", f"curl -sS -N {world.web.url('endless')}; echo over")
ok(wait_for(lambda: fly.out.stat().st_size > 1000) is not None, "a sandbox that follows nobody has its key and a download open", fly.complained)
latticed.process.send_signal(signal.SIGSTOP)
took = wait_for(lambda: "over" in fly.said, 10)
latticed.process.send_signal(signal.SIGCONT)
ok(took is not None and time.monotonic() - begun < 6.5, "the gateway ends it by itself, without latticed's word", took)

sys.exit(1 if control.failed else 0)
