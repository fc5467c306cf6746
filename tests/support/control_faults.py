# SPDX-License-Identifier: Apache-2.0
"""A small disk that fills up, a lock that somebody else holds, an auditor that dies. Runs in a mount namespace of its own."""
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
import control
from control import ISO, Latticed, is_problem, new_key, ok

small = pathlib.Path(tempfile.mkdtemp(prefix="lattice-small-"))
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(small)], check=True)
tempfile.tempdir = str(small)
d = Latticed("--no-nats")
create, CALL = ISO + "/enrollment-tokens", "/api/v1/agents/tools/call"
grant = {"namespace": "team", "allowedTools": ["list_peers"]}


def counted(cause):
    for line in d.call("GET", "/metrics").body.decode().splitlines():
        if line.startswith('lattice_store_faults_total{cause="%s"}' % cause):
            return int(line.split()[1])


def rows():
    db = sqlite3.connect(f"file:{d.dir}/data/lattice.db?mode=ro", uri=True)
    try:
        return [db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("agents", "tokens", "addresses", "requests")]
    finally:
        db.close()


# --- another holds the lock
bot = d.enrol("bot", allowedTools=["list_peers"])
token = d.token()
other = sqlite3.connect(d.dir / "data/lattice.db", isolation_level=None)
other.execute("BEGIN IMMEDIATE")
before = rows()
r = d.call("POST", create, grant, d.admin, {"Idempotency-Key": "busy"})
ok(is_problem(r, 503) and int(r.headers["retry-after"]) >= 1 and "busy" in r.json["detail"], "a held lock: 503, and when to come back", r)
r = d.register(token, "late")
ok(is_problem(r, 503) and rows() == before, "an enrolment meanwhile is refused whole", r)
ok(is_problem(d.revoke("bot"), 503), "a revocation is not acknowledged")
ok(d.call("GET", ISO + "/agents", token=d.admin).status == 200 and d.call("GET", ISO + "/self", token=bot["jwt"]).status == 200, "reading goes on")
other.execute("ROLLBACK")
other.close()
ok(d.call("POST", create, grant, d.admin, {"Idempotency-Key": "busy"}).status == 201, "afterwards the same request is carried out")
ok(d.register(token, "late").status == 200, "and the token is good")
ok(counted("busy") == 3, "each is counted", counted("busy"))

# --- the disk is full
filler = open(small / "filler", "wb", buffering=0)


def fill():
    """Down to the last byte."""
    for size in (65536, 4096, 1):
        try:
            while True:
                filler.write(b"x" * size)
        except OSError:
            pass


fill()
statuses, before, n = [], None, 0
while 507 not in statuses and n < 2000:
    before = rows()
    r = d.call("POST", create, grant, d.admin, {"Idempotency-Key": f"full-{n}"})
    statuses.append(r.status)
    n += 1
    fill()
ok(statuses[-1] == 507 and is_problem(r, 507) and set(statuses) <= {201, 507}, f"a full disk: 507 (after {n} requests that still fitted)", (statuses[-3:], r))
ok(rows() == before, "and nothing of it is there", (before, rows()))
spare = d.call("GET", ISO + "/agents/late?namespace=team", token=d.admin)
ok(spare.status == 200 and spare.data["phase"] == "Active", "reading goes on", spare)
r = d.revoke("late")
ok(r.status in (200, 507), "a revocation is carried out or refused, nothing between", r)
state = d.call("GET", ISO + "/agents/late?namespace=team", token=d.admin).data["phase"]
ok(state == ("Revoked" if r.status == 200 else "Active"), "and says the truth", (r.status, state))
calls, deadline = [], time.monotonic() + 30
while time.monotonic() < deadline and (not calls or calls[-1].status == 200):  # until the auditor, in its own time, says so
    fill()  # what a checkpoint of the database gave back
    calls.append(d.call("POST", CALL, {"tool": "list_peers", "input": {}}, bot["jwt"]))
calls += [d.call("POST", CALL, {"tool": "list_peers", "input": {}}, bot["jwt"]) for _ in range(10)]
ok({c.status for c in calls[-11:]} == {503}, "a tool call that cannot be recorded is not done", [c.status for c in calls[-11:]])
ok(d.call("GET", "/healthz").status == 200 and counted("full") >= 1, "latticed lives, and counts", counted("full"))
filler.close()
os.unlink(small / "filler")
again = d.call("POST", create, grant, d.admin, {"Idempotency-Key": f"full-{n - 1}"})
ok(again.status == 201, "with room again the same request is carried out", again)
ok(d.revoke("late").status in (200, 404), "and revocation")
deadline, back = time.monotonic() + 30, None
while time.monotonic() < deadline and (back is None or back.status != 200):
    back = d.call("POST", CALL, {"tool": "list_peers", "input": {}}, bot["jwt"])
ok(back.status == 200, "and tool calls", back)
check = sqlite3.connect(f"file:{d.dir}/data/lattice.db?mode=ro", uri=True)
ok(check.execute("PRAGMA integrity_check").fetchone() == ("ok",), "the database is whole")
check.close()
ok(d.stop() == 0, "SIGTERM ends it in order", (d.dir / "stderr").read_text())

# --- a database that it may not use, a data directory that is another's
for what, break_it, mend in (("that is no database", lambda p: p.write_bytes(b"x" * 5000), None), ("of a newer program", None, None)):
    place = small / what.split()[-1]
    place.mkdir(mode=0o700)
    if break_it:
        break_it(place / "lattice.db")
    else:
        db = sqlite3.connect(place / "lattice.db")
        db.execute("PRAGMA user_version = 9999")
        db.close()
    r = subprocess.run([d.program, "--data", place, "--no-nats", "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=30)
    ok(r.returncode == 1 and r.stderr.strip().count("\n") == 0 and "database" in r.stderr, f"a file {what}: a line, and no start", r)

# --- the auditor dies: what cannot be remembered is not done, so latticed stops, and says so
d.start()
children = [int(x) for x in pathlib.Path(f"/proc/{d.process.pid}/task/{d.process.pid}/children").read_text().split()]
ok(len(children) == 1 and os.getpgid(children[0]) == children[0], "the auditor is a child that leads a group", children)
os.killpg(children[0], signal.SIGKILL)  # the keeper leads a group of its own, with the writer
ok(d.process.wait(timeout=30) == 1 and "auditor" in (d.dir / "stderr").read_text(), "without its auditor it ends, and says why")
d.start()
ok(d.call("GET", "/readyz").status == 200 and d.call("GET", ISO + "/self", token=bot["jwt"]).status == 200, "and starts again")
d.stop()
d.done()
sys.exit(1 if control.failed else 0)
