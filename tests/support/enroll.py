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

# ── Revoking ─────────────────────────────────────────────────────────────────────────────────────────────────────────
parent = world.sandbox("parent", "sh", "-c", f"curl -sS -N {world.web.url('endless')}; exec sleep 60",
                       label="parent")
ok(wait_for(lambda: parent.out.stat().st_size > 1000) is not None, "a download is open", parent.complained)
reply = latticed.revoke("parent")
begun = time.monotonic()
ok(reply.status == 200, "the agent is revoked", reply)
status = parent.wait(10)
took = time.monotonic() - begun
ok(status == 125 and took < 2, "its sandbox ends within two seconds", f"{took:.3f} s, {status} {parent.complained}")
print(f"# {took:.3f} s after the revocation")
ok("reset by peer" in parent.complained, "… and its download was reset", parent.complained)
ok("Revoked" in parent.complained, "… and says why", parent.complained)
ok(wait_for(lambda: "was cut" in world.gateway.complained, 2) is not None, "the gateway knows the peer no more")
gone = world.sandbox("parent", "true", label="gone")
ok(gone.wait() == 125 and "ended" in gone.complained, "it does not start again", gone.complained)

sys.exit(1 if __import__("control").failed else 0)
