# SPDX-License-Identifier: Apache-2.0
"""latticed with its own nats-server: start, records through the stream, the server's and latticed's death."""
import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import control
from control import ISO, Latticed, ok

if not any(os.access(p, os.X_OK) for p in ("/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server")):
    print("SKIP: nats-server is not installed")
    sys.exit(77)

TOOLS = "/api/v1/agents/tools/call"
d = Latticed()


def wait(what, test, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = test()
        if value:
            return value
        time.sleep(0.02)  # a poll interval, not an assumption: the limit above decides
    ok(False, f"{what} within {seconds} s")
    sys.exit(1)


def children(pid):
    return [int(x) for x in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def server():
    for pid in children(d.process.pid):
        if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "nats-server":
            return pid
    return None


def gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z"
    except FileNotFoundError:
        return True


def metric(name):
    for line in d.call("GET", "/metrics").body.decode().splitlines():
        if line.startswith(f"lattice_{name} "):
            return float(line.split()[1])
    return None


def taken():
    return metric('stream_messages_total{outcome="taken"}')


first = wait("a nats-server is started", server)
argv = pathlib.Path(f"/proc/{first}/cmdline").read_bytes().decode().split("\0")
conf = (d.dir / "data/nats/server.conf")
password = conf.read_text().split('password: "')[1].split('"')[0]
ok(conf.stat().st_mode & 0o777 == 0o600 and password not in " ".join(argv), "its password is in a 0600 file, not on its command line", argv)
ok(password not in pathlib.Path(f"/proc/{first}/environ").read_bytes().decode(), "nor in its environment")
url = d.call("GET", "/api/v1/discovery").data["nats_url"]
ok(url.startswith("nats://127.0.0.1:") and password not in url, "discovery names it, on loopback", url)
wait("readiness with NATS", lambda: d.call("GET", "/readyz").status == 200)
ok(True, "readyz waits for NATS")

agent = d.enrol("bot", allowedTools=["list_peers"])
for _ in range(20):
    d.call("POST", TOOLS, {"tool": "list_peers"}, agent["jwt"])
wait("20 spans through the stream", lambda: taken() >= 20)
ok(True, "spans come back through the stream")
log = (d.dir / "data/audit.jsonl").read_text().splitlines()
spans = d.call("GET", ISO + "/audit/traces?agentId=bot&limit=1000", token=d.admin).data["items"]
ok(len(spans) == 20 and len({s["id"] for s in spans}) == 20, "each span is there once, although it came from log and stream", len(spans))

# the projection can be built from the stream alone: another latticed's records arrive by it
port = int(url.rsplit(":", 1)[1])
guest = Latticed("--nats", f"nats://latticed:{password}@127.0.0.1:{port}")
visitor = guest.enrol("visitor", allowedTools=["list_peers"])
for _ in range(5):
    guest.call("POST", TOOLS, {"tool": "list_peers"}, visitor["jwt"])
wait("a guest's spans", lambda: len(d.call("GET", ISO + "/audit/traces?agentId=visitor", token=d.admin).data["items"]) == 5)
ok(True, "records of another process are found here, by the stream")
guest.stop()
guest.done()

# the server dies: calls go on, the server comes back on the same port, everything arrives
os.kill(first, signal.SIGKILL)
statuses = [d.call("POST", TOOLS, {"tool": "list_peers"}, agent["jwt"]).status for _ in range(10)]
ok(statuses == [200] * 10, "with NATS away calls go on", statuses)
second = wait("a new nats-server", lambda: server() if server() != first else None)
wait("all spans after its death", lambda: taken() >= 35)
ok(d.call("GET", "/api/v1/discovery").data["nats_url"] == url, "the new server has the old port")
spans = d.call("GET", ISO + "/audit/traces?agentId=bot&limit=1000", token=d.admin).data["items"]
ok(len(spans) == 30, "no span was lost or doubled", len(spans))

# latticed dies: the server goes with it; a new one takes over store and stream
d.stop(signal.SIGKILL)
wait("the server ends with latticed", lambda: gone(second))
ok(True, "kill -9 of latticed takes its nats-server along")
for name in d.dir.glob("data/traces.db*"):
    name.unlink()
d.start()
spans = d.call("GET", ISO + "/audit/traces?agentId=bot&limit=1000", token=d.admin).data["items"]
ok(len(spans) == 30, "a lost projection is built again", len(spans))
wait("readiness after a restart", lambda: d.call("GET", "/readyz").status == 200)
third = server()
ok(d.stop() == 0, "SIGTERM ends both in order")
wait("the server's end", lambda: gone(third))
d.done()

# none, and one that is not there
with_none = Latticed("--no-nats")
ok(with_none.call("GET", "/api/v1/discovery").data["nats_url"] == "" and with_none.call("GET", "/readyz").status == 200, "--no-nats goes without")
with_none.done()
away = Latticed("--nats", "nats://127.0.0.1:1")
ok(away.call("GET", "/healthz").status == 200 and away.call("GET", "/readyz").status == 503, "a NATS that does not answer: alive, but not ready")
bot = away.enrol("bot", allowedTools=["list_peers"])
ok(away.call("POST", TOOLS, {"tool": "list_peers"}, bot["jwt"]).status == 200, "and its spans wait in the log")
ok(away.stop() == 0, "it ends in order, too")
away.done()
sys.exit(1 if control.failed else 0)
