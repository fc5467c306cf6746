# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the auditor's writer, nats-server and latticed at random moments: no record is lost, none is doubled. Then random
changes to the log, each of which verify must find."""
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import control
from control import ISO, Latticed, ok
from enroll_world import LATTICE, wait_for

if not any(os.access(p, os.X_OK) for p in ("/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server")):
    print("SKIP: nats-server is not installed")
    sys.exit(77)

LONG = os.environ.get("LATTICE_LONG") == "1"
KILLS, CHANGES = (200, 200) if LONG else (15, 60)
seed = int(os.environ.get("LATTICE_SEED", random.randrange(1 << 32)))
chance = random.Random(seed)
print(f"# LATTICE_SEED={seed}, {KILLS} kills, {CHANGES} changes")


def children(pid):
    try:
        return [int(x) for x in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return ""


d = Latticed()
me = d.enrol("storm", namespace="default")["nats"]
creds = d.dir / "creds"
creds.write_text(f"{me['user']}\n{me['password']}\n{me['inbox']}\n")
creds.chmod(0o600)
log = d.dir / "storm.jsonl"
# The agent runs programs without end, and says how many when its input ends.
agent = 'n=0; while ! read -t 0.002 x; do /bin/true; n=$((n+1)); [ -e "$0" ] && break; done; echo $n'
end = d.dir / "end"
box = subprocess.Popen([LATTICE, "sandbox", "start", "--name", "storm", "--audit-log", log, "--nats", me["url"], "--nats-creds", creds,
                        "--nats-workspace", "default", "--", "/bin/bash", "-c", agent, end],
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def writer():
    keeper = next((p for p in children(box.pid) if name_of(p) == "lattice-audit"), None)
    return next(iter(children(keeper)), None) if keeper else None


def nats_server():
    return next((p for p in children(d.process.pid) if name_of(p) == "nats-server"), None)


wait_for(lambda: log.exists() and log.stat().st_size > 5000)
done = {"writer": 0, "nats-server": 0, "latticed": 0}
for _ in range(KILLS):
    victim = chance.choice(list(done))
    if victim == "latticed":
        d.stop(signal.SIGKILL)
        d.start()
    else:
        find = writer if victim == "writer" else nats_server
        wait_for(find)
        pid = find()
        if pid is None:
            break
        os.kill(pid, signal.SIGKILL)
    done[victim] += 1
    time.sleep(chance.random() * 0.2)  # a random moment
ok(sum(done.values()) == KILLS and box.poll() is None, f"the session outlives {done}", box.poll())
end.touch()
said, complained = box.communicate(timeout=60)
ran = int(said.strip() or -1)
ok(box.returncode == 0 and ran > 0, f"its agent ran {ran} programs", complained)

lines = log.read_text().splitlines()
records = [json.loads(x) for x in lines]
ok([r["seq"] for r in records] == list(range(1, len(records) + 1)), "the log has each record once, in order", len(records))
for kind in ("exec", "exit"):
    n = sum(r["kind"] == kind and r["tool"] == "exec:true" for r in records)
    ok(n == ran, f"it has an {kind} for each program", (n, ran))


def verify(path):
    return subprocess.run([LATTICE, "audit", "verify", path], capture_output=True, text=True).returncode


ok(verify(log) == 0, "its chain verifies")

# What one run could not deliver, the next with the same log does.
wait_for(lambda: d.call("GET", "/readyz").status == 200)
for _ in range(5):
    again = subprocess.run([LATTICE, "sandbox", "start", "--name", "storm", "--audit-log", log, "--nats", me["url"], "--nats-creds", creds,
                            "--nats-workspace", "default", "--", "/bin/sleep", "1"], capture_output=True, text=True)
    sent = (d.dir / "storm.jsonl.sent").read_text().split()
    if int(sent[1]) == log.stat().st_size:
        break
ok(int(sent[1]) == log.stat().st_size, "the stream has acknowledged all of it", (sent, log.stat().st_size))
trace = records[0]["trace_id"]
programs = sum(r["kind"] == "exec" for r in records)


def summary():
    items = d.call("GET", f"{ISO}/audit/trace-summaries?agentId=storm", token=d.admin).data["items"]
    return next((t for t in items if t["traceId"] == trace), {})


wait_for(lambda: summary().get("spans") == programs + 1, 60)
ok(summary().get("spans") == programs + 1, "latticed has each span, once", (summary(), programs + 1))
seen, cursor = [], ""
while True:
    page = d.call("GET", f"{ISO}/audit/traces?agentId=storm&limit=1000{cursor}", token=d.admin).data
    seen += [s for s in page["items"] if s["traceId"] == trace]
    if "nextCursor" not in page:
        break
    cursor = "&cursor=" + page["nextCursor"]
ok({s["spanId"] for s in seen} == {r["span_id"] for r in records if "span_id" in r} and len(seen) == programs + 1,
   "… the same as in the log", len(seen))
ok(all("durationMs" in s for s in seen), "… each with its end", [s for s in seen if "durationMs" not in s][:2])

# ---- changes
text = log.read_bytes()
rows = text.splitlines(keepends=True)
copy = d.dir / "changed.jsonl"
found = 0
for i in range(CHANGES):
    kind = chance.choice(("flip", "drop", "swap", "twice", "cut", "forge", "number"))
    new, at = list(rows), chance.randrange(len(rows))
    if kind == "flip":
        raw = bytearray(new[at])
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        new[at] = bytes(raw)
    elif kind == "drop":
        del new[at:at + chance.randrange(1, 4)]
    elif kind == "swap":
        other = (at + chance.randrange(1, len(rows))) % len(rows)
        new[at], new[other] = new[other], new[at]
    elif kind == "twice":
        new.insert(chance.randrange(len(rows)), new[at])
    elif kind == "cut":
        del new[at:]
    elif kind == "forge":
        new.insert(at, new[at].replace(b'"status":"ok"', b'"status":"no"').replace(b'"kind":"exec"', b'"kind":"exit"'))
    else:
        new[at] = new[at].replace(b'"seq":', b'"seq":1')
    copy.write_bytes(b"".join(new))
    shutil.copy(f"{log}.head", f"{copy}.head")
    if b"".join(new) == text or verify(copy) != 0:
        found += 1
    else:
        ok(False, f"verify finds change {i}: {kind} at line {at + 1}")
ok(found == CHANGES, f"verify finds each of {CHANGES} changes", found)
shutil.copy(log, copy)
ok(verify(copy) == 0, "… and nothing where nothing was changed")
print(f"# {len(records)} records, {programs} programs")
d.done()
sys.exit(1 if control.failed else 0)
