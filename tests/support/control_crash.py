# SPDX-License-Identifier: Apache-2.0
"""kill -9 under load. Workers enrol, delegate and revoke; each remembers what was acknowledged and
what is in doubt (sent, not answered). After each restart the doubtful requests are repeated with
their Idempotency-Key, and everything that was acknowledged must be there.
"""
import os
import random
import signal
import sqlite3
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
import control
from control import ISO, Latticed, new_key, ok

KILLS = 200 if os.environ.get("LATTICE_LONG") == "1" else 25
rng = random.Random(20261122)
d = Latticed("--no-nats")
create = ISO + "/enrollment-tokens"
faults, lock = [], threading.Lock()
redeemed, live, revoked, used_tokens = {}, {}, set(), {}
counts = {"acknowledged": 0, "repeated": 0, "the same answer": 0}


def fault(what, detail):
    with lock:
        faults.append((what, str(detail)[:300]))


class Worker(threading.Thread):
    """One request at a time; the one that a kill leaves unanswered is kept in self.doubt."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.number, self.doubt, self.n, self.kids = number, None, 0, []
        self.stopping = threading.Event()

    def send(self, *request):
        self.doubt = request
        reply = d.call(request[0], request[1], request[2], request[3], {"Idempotency-Key": request[4]} if request[4] else None)
        self.doubt = None
        return reply

    def once(self, method, path, body, token, key):
        reply = self.send(method, path, body, token, key)
        with lock:
            counts["acknowledged"] += 1
        if reply.status >= 500:
            fault("a 5xx", reply)
        return reply

    def round(self, tag):
        self.n += 1
        name = f"w{self.number}-{tag}-{self.n}"
        made = self.once("POST", create, {"namespace": "team", "allowedTools": ["list_peers"]}, d.admin, f"{name}-token")
        body = {"enrollmentToken": made.data["token"], "agentName": name, "publicKey": new_key()}
        self.body = body
        agent = self.once("POST", ISO + "/register", body, None, f"{name}-register")
        if agent.status != 200:
            return fault("a fresh token is refused", agent)
        with lock:
            used_tokens[body["enrollmentToken"]] = name
            live[name] = agent.data
        if self.n % 2 == 1:
            kid = self.once("POST", ISO + "/delegate", {"agentName": name + "-kid", "requestedTools": ["list_peers"]}, agent.data["jwt"], f"{name}-delegate")
            kid_body = {"enrollmentToken": kid.data["enrollmentToken"], "agentName": name + "-kid", "publicKey": new_key()}
            child = self.once("POST", ISO + "/register", kid_body, None, f"{name}-kid-register")
            with lock:
                used_tokens[kid_body["enrollmentToken"]] = name + "-kid"
                live[name + "-kid"] = child.data
        if self.n % 2 == 0:
            gone = self.once("DELETE", f"{ISO}/agents/{name}?namespace=team", None, d.admin, None)
            if gone.status == 200:
                with lock:
                    for each in (name, name + "-kid"):
                        if each in live:
                            revoked.add(each)

    def run(self):
        tag = rng.randrange(10 ** 9)
        try:
            while not self.stopping.is_set():
                self.round(tag)
        except (OSError, __import__("http.client").client.HTTPException, ValueError):
            pass  # killed meanwhile; self.doubt says what was on its way
        except Exception as e:
            fault("a worker's answer made no sense", repr(e))


def repeat(worker):
    """The request in doubt, again: carried out now, or its first answer; twice the same."""
    request = worker.doubt
    if request is None or request[4] is None:
        if request is not None:  # a DELETE: revoke again, then it is acknowledged
            name = request[1].split("/")[-1].split("?")[0]
            if d.call(*request[:4]).status == 200:
                revoked.update(n for n in (name, name + "-kid") if n in live)
        return
    first, second = (d.call(*request[:4], {"Idempotency-Key": request[4]}) for _ in range(2))
    counts["repeated"] += 1
    if first.status not in (200, 201) and first.status != 401:
        fault("a repeated request is refused", (request[1], first))
    elif first.status < 300 and first.data != second.data:
        fault("repeating twice gives two answers", (request[1], first, second))
    else:
        counts["the same answer"] += 1
    if first.status == 200 and request[1].endswith("/register"):
        used_tokens[request[2]["enrollmentToken"]] = request[2]["agentName"]
        live[request[2]["agentName"]] = first.data


def check(sample):
    db = sqlite3.connect(f"file:{d.dir}/data/lattice.db?mode=ro", uri=True)
    if db.execute("PRAGMA integrity_check").fetchone() != ("ok",) or db.execute("PRAGMA foreign_key_check").fetchall():
        fault("the database is not whole", "")
    phases = dict(db.execute("SELECT name, phase FROM agents"))
    # half-written: a token that is used without an agent, an agent without a token, an address twice
    used, agents = db.execute("SELECT count(*) FROM tokens WHERE used_s <> 0").fetchone()[0], len(phases)
    if used != agents:
        fault("used tokens and agents differ", (used, agents))
    for name, address in db.execute("SELECT a.name, b.address FROM agents a LEFT JOIN addresses b USING(ns, name) WHERE b.address IS NULL OR b.address <> a.address"):
        fault("an agent without its address", (name, address))
    db.close()
    for name in live:
        if name not in phases:
            fault("an acknowledged agent is gone", name)
    for name in revoked:
        if phases.get(name) != "Revoked":
            fault("a revoked agent lives", (name, phases.get(name)))
    for name in rng.sample(sorted(revoked), min(sample, len(revoked))):
        if d.call("GET", ISO + "/self", token=live[name]["jwt"]).status != 401:
            fault("a revoked agent's token is taken", name)
    for token in rng.sample(sorted(used_tokens), min(sample, len(used_tokens))):
        again = d.register(token, "thief")
        if again.status != 400 or again.json["msg"] != "enrollment token already used":
            fault("a token is redeemed twice", again)


began = time.monotonic()
for kill in range(KILLS):
    workers = [Worker(n) for n in range(4)]
    for w in workers:
        w.start()
    enough, began_round = counts["acknowledged"] + rng.randrange(1, 50), time.monotonic()
    while counts["acknowledged"] < enough and time.monotonic() - began_round < 10:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.004))  # the moment of the kill is what is random here
    d.stop(signal.SIGKILL)
    for w in workers:
        w.stopping.set()
        w.join(30)
    d.start()
    for w in workers:
        repeat(w)
    check(3)
    if faults:
        break
check(50)
print(f"# {KILLS} kills in {time.monotonic() - began:.0f} s: {counts}, {len(live)} agents, {len(revoked)} revoked, {len(used_tokens)} tokens used")
ok(not faults, f"{KILLS} times kill -9: what was acknowledged is there, nothing is half there", faults[:5])
ok(counts["acknowledged"] > 5 * KILLS and counts["repeated"] > KILLS // 2 and len(revoked) > KILLS // 4, "the load was real", (counts, len(revoked)))
ok(d.call("GET", "/readyz").status == 200 and d.stop() == 0, "it is ready, and ends in order")
d.done()
sys.exit(1 if control.failed else 0)
