# SPDX-License-Identifier: Apache-2.0
"""Records of enrolled sandboxes by NATS: whose subjects a user may use, and what REST then answers."""
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import control
from control import ISO, Latticed, ok

if not any(os.access(p, os.X_OK) for p in ("/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server")):
    print("SKIP: nats-server is not installed")
    sys.exit(77)


def wait(what, test, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = test()
        if value:
            return value
        time.sleep(0.02)  # a poll interval, not an assumption: the limit above decides
    ok(False, f"{what} within {seconds} s")
    sys.exit(1)


class Nats:
    """The client protocol of NATS, as far as it is needed here."""

    def __init__(self, url, user, password):
        host, port = url.removeprefix("nats://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.sent = 0
        self.say("CONNECT " + json.dumps({"user": user, "pass": password, "verbose": False, "headers": True, "echo": True}) + "\r\nPING\r\n")
        self.welcome = self.file.readline().decode().strip()

    def say(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def publish(self, subject, payload, reply=""):
        self.say(f"PUB {subject} {reply} {len(payload)}\r\n{payload}\r\n")

    def answers(self):
        """Everything that comes until the answer to a PING."""
        self.say("PING\r\n")
        out = []
        while (line := self.file.readline().decode().strip()) != "PONG":
            if line == "":
                return out + ["closed"]
            if line.startswith("MSG"):
                line += " " + self.file.read(int(line.split()[-1]) + 2).decode().strip()
            out.append(line)
        return out


d = Latticed()
wait("readiness with NATS", lambda: d.call("GET", "/readyz").status == 200)
one, two = d.enrol("one", namespace="default"), d.enrol("two", namespace="default")
me, other = one.get("nats"), two.get("nats")
ok(me is not None and me["password"] != other["password"] and me["workspace"] == "default",
   "an enrolled agent gets a user of its own at NATS", one.keys())
conf = d.dir / "data/nats/server.conf"

# ---- whose subjects


def user(nats):
    return wait("the server knows a new user", lambda: (lambda c: c if c.welcome == "PONG" else None)(Nats(nats["url"], nats["user"], nats["password"])))


user(other)
n = user(me)
boss = Nats(me["url"], "latticed", conf.read_text().split('password: "')[1].split('"')[0])  # after the reload, which may close connections
ok(Nats(me["url"], me["user"], other["password"]).welcome.startswith("-ERR"), "another one's password does not open it")
inbox = me["inbox"] + ".test"
n.say(f"SUB {inbox} 1\r\n")


def record(agent, seq, kind="span"):
    return json.dumps({"id": f"{'a' * 16}-{seq}", "kind": kind, "ts": "2026-01-01T00:00:00Z", "agentId": agent, "tool": "forged",
                       "status": "ok", "traceId": "00000000-0000-4000-8000-000000000000", "spanId": f"{seq:016x}",
                       "chain": "a" * 16, "seq": seq})


n.publish("lattice.default.tool_spans.one", record("one", 1), inbox)
ack = wait("an acknowledgement", lambda: [a for a in n.answers() if '"stream"' in a])
ok("LATTICE_SPANS" in ack[0], "it may publish on its own subject", ack)
for subject in ("lattice.default.tool_spans.two", "lattice.other.tool_spans.one", "lattice.default.flow_events.two",
                "lattice.audit.flow", "$JS.API.STREAM.DELETE.LATTICE_SPANS", "$JS.API.STREAM.MSG.GET.LATTICE_SPANS", "_INBOX_lattice.default.two.x"):
    n.publish(subject, record("two", 2))
    answer = n.answers()
    ok(any("Permissions Violation" in a for a in answer), f"it may not publish on {subject}", answer)
for subject in ("lattice.>", ">", "_INBOX.>", "_INBOX_lattice.default.two.>"):
    n.say(f"SUB {subject} 9\r\n")
    answer = n.answers()
    ok(any("Permissions Violation" in a for a in answer), f"it may not listen to {subject}", answer)


def metric(name):
    return next((float(x.split()[1]) for x in d.call("GET", "/metrics").body.decode().splitlines() if x.startswith(f"lattice_{name} ")), None)


def spans(agent):
    return d.call("GET", ISO + f"/audit/traces?agentId={agent}&limit=1000", token=d.admin).data["items"]


wait("its own record", lambda: any(s["tool"] == "forged" for s in spans("one")))
before = metric('stream_messages_total{outcome="refused"}')
n.publish("lattice.default.tool_spans.one", record("two", 3), inbox)
wait("a refusal", lambda: metric('stream_messages_total{outcome="refused"}') == before + 1)
ok(not any(s["tool"] == "forged" for s in spans("two")), "a record in another agent's name is refused, and counted")

# ---- a sandbox that publishes as that user
boss.say("SUB lattice.audit.flow 5\r\n")
boss.answers()
creds = d.dir / "creds"
creds.write_text(f"{me['user']}\n{me['password']}\n{me['inbox']}\n")
creds.chmod(0o600)
log = d.dir / "one.jsonl"
port = d.port
run = subprocess.run([pathlib.Path(os.environ["LATTICE_BIN"], "lattice"), "sandbox", "start", "--name", "one", "--audit-log", log,
                      "--nats", me["url"], "--nats-creds", creds, "--nats-workspace", me["workspace"], "--allow", f"127.0.0.1:{port}", "--",
                      "/bin/sh", "-c", f"/usr/bin/curl -s http://127.0.0.1:{port}/healthz; /usr/bin/curl -s http://192.0.2.1/; exit 3"],
                     capture_output=True, text=True)
ok(run.returncode == 3, "the sandbox runs", run)
records = [json.loads(x) for x in log.read_text().splitlines()]
trace = records[0]["trace_id"]
programs = {r["span_id"] for r in records if r["kind"] == "exec"}
mine = wait("its spans at latticed", lambda: (lambda s: s if len(s) == len(programs) + 1 and all("durationMs" in x for x in s) else None)([s for s in spans("one") if s["traceId"] == trace]))
ok({s["tool"] for s in mine} >= {"exec:sh", "exec:curl"} or {s["tool"] for s in mine} >= {"exec:dash", "exec:curl"}, "programs are spans over REST", [s["tool"] for s in mine])
flows = d.call("GET", ISO + f"/flow-events?traceId={trace}", token=d.admin).data["items"]
ok(len([f for f in flows if f["verdict"] == "drop"]) >= 1 and all(f.get("spanId") or f.get("parentSpanId") for f in flows), "flows name their span", flows[:2])
tree = d.call("GET", ISO + "/audit/agents/one/calltree", token=d.admin).data
ok("exec:curl" in json.dumps(tree), "the call tree has the programs")
told = wait("the older subject", lambda: [a for a in boss.answers() if a.startswith("MSG lattice.audit.flow")])
body = json.loads(told[0].split(" ", 4)[4])
ok(set(body) == {"agentId", "traceId", "direction", "dstIp", "dstPort", "bytes", "ts"} and body["agentId"] == "one" and body["dstPort"] == port,
   "the older subject for flows has them, too", told)
boss_creds = d.dir / "boss"
boss_creds.write_text("latticed\n" + conf.read_text().split('password: "')[1].split('"')[0] + "\n")
boss_creds.chmod(0o600)


def nats(*words):
    return subprocess.run([pathlib.Path(os.environ["LATTICE_BIN"], "lattice"), "nats", *words, "--nats", me["url"]], capture_output=True, text=True)


shown = nats("status", "--nats-creds", boss_creds)
ok(shown.returncode == 0 and "jetstream  yes" in shown.stdout, "lattice nats status", shown)
shown = nats("streams", "--nats-creds", boss_creds)
ok(shown.returncode == 0 and int(shown.stdout.split("messages")[1].split()[0]) >= len(records), "lattice nats streams", shown)
shown = nats("streams", "--nats-creds", creds)
ok(shown.returncode == 1 and "Permissions Violation" in shown.stderr, "… says so when the user may not", shown)
shown = nats("status")
ok(shown.returncode == 1 and "Authorization" in shown.stderr, "… and when there is none", shown)
creds.chmod(0o644)
run = subprocess.run([pathlib.Path(os.environ["LATTICE_BIN"], "lattice"), "sandbox", "start", "--nats", me["url"], "--nats-creds", creds, "--", "/bin/true"], capture_output=True, text=True)
ok(run.returncode == 125 and "chmod 600" in run.stderr, "credentials that others may read are refused", run)
d.done()
sys.exit(1 if control.failed else 0)
