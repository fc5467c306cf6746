# SPDX-License-Identifier: Apache-2.0
"""Nothing half-written, never a 5xx, limits that hold. The storm's seed is printed; give it to repeat the run."""
import concurrent.futures
import hashlib
import http.client
import json
import os
import random
import re
import socket
import sqlite3
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import control
from control import ISO, Latticed, is_problem, new_key, ok

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else 20261122
ROUNDS = 20000 if os.environ.get("LATTICE_LONG") == "1" else 2500
d = Latticed("--no-nats")
create, CALL, HUMAN = ISO + "/enrollment-tokens", "/api/v1/agents/tools/call", "/api/v1/ai/tools/call"


def dump():
    """Everything that the database holds, but for when an agent was last seen."""
    db = sqlite3.connect(f"file:{d.dir}/data/lattice.db?mode=ro", uri=True)
    rows = [line for line in db.iterdump()]
    columns = [r[1] for r in db.execute("PRAGMA table_info(agents)") if r[1] != "seen_s"]
    agents = db.execute(f"SELECT {','.join(columns)} FROM agents").fetchall()
    db.close()
    return hashlib.sha256(repr(([r for r in rows if not r.startswith('INSERT INTO "agents"')], agents)).encode()).hexdigest()


# --- slow clients: begun now, judged at the end. One drips a header, one a body, one says nothing.
def slow(first):
    s = socket.create_connection(("127.0.0.1", d.port))
    s.sendall(first)
    return s


def drip(s):
    """One byte now and then, until the server has had enough."""
    began = time.monotonic()
    s.settimeout(0.2)
    while time.monotonic() - began < 60:
        try:
            if not s.recv(4096):
                break
        except TimeoutError:
            pass
        except OSError:
            break
        try:
            s.sendall(b"x")
        except OSError:
            break
    s.close()
    return time.monotonic() - began


pool = concurrent.futures.ThreadPoolExecutor(3)
drips = [pool.submit(drip, slow(first)) for first in (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
                                                     f"POST {create} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{{".encode(), b"")]

# --- each refusal leaves the database as it was
mother = d.enrol("mother", allowedTools=["list_peers", "delete_policy"], agentTtlSeconds=3600)
stranger = d.enrol("stranger", allowedTools=["list_peers"])
used = d.token()
d.register(used, "redeemer")
kept, bound = d.token(), d.token(agentName="me")
grant = {"namespace": "team", "allowedTools": ["a"], "ttlSeconds": 60}
redeem = {"enrollmentToken": kept, "agentName": "late", "publicKey": new_key()}
wish = {"agentName": "kid", "requestedTools": ["list_peers"], "ttlSeconds": 60}
gate = {"publicKey": new_key(), "endpoint": "192.0.2.1:51820"}
d.call("POST", create, grant, d.admin, {"Idempotency-Key": "once"})
listed = d.call("GET", create + "?limit=200", token=d.admin).data["items"][0]["id"]
refusals = [
    ("an unknown field", "POST", create, {**grant, "role": "root"}, d.admin, 400), ("a wrong type", "POST", create, {**grant, "allowedTools": "a"}, d.admin, 400),
    ("a field that is refused late", "POST", create, {**grant, "auditLevel": "x"}, d.admin, 400),
    ("a token that is used", "POST", ISO + "/register", {**redeem, "enrollmentToken": used}, None, 400),
    ("a token that is none", "POST", ISO + "/register", {**redeem, "enrollmentToken": "lt-enroll-" + "0" * 64}, None, 400),
    ("a token for another name", "POST", ISO + "/register", {**redeem, "enrollmentToken": bound}, None, 403),
    ("a name that lives", "POST", ISO + "/register", {**redeem, "agentName": "mother"}, None, 409),
    ("a bad key", "POST", ISO + "/register", {**redeem, "publicKey": "AAAA"}, None, 400),
    ("a child like its parent", "POST", ISO + "/delegate", {**wish, "agentName": "mother"}, mother["jwt"], 400),
    ("a child with a bad rule", "POST", ISO + "/delegate", {**wish, "requestedDestinations": ["allow"]}, mother["jwt"], 400),
    ("a refresh token that is none", "POST", ISO + "/token", {"refreshToken": "lt-refresh-" + "0" * 64}, None, 401),
    ("another's idempotency key", "POST", create, {**grant, "ttlSeconds": 61}, d.admin, 422),
    ("a stranger revokes", "DELETE", ISO + "/agents/mother?namespace=team", None, stranger["jwt"], 403),
    ("an agent makes tokens", "POST", create, grant, mother["jwt"], 403), ("nobody makes tokens", "POST", create, grant, None, 401),
    ("an agent removes a token", "DELETE", f"{create}/{listed}", None, mother["jwt"], 403),
    ("an agent announces a gateway", "PUT", "/api/v1/gateway", gate, mother["jwt"], 403),
    ("a gateway that is a name", "PUT", "/api/v1/gateway", {**gate, "endpoint": "gate.example:1"}, d.gateway, 400),
    ("the wrong namespace", "DELETE", ISO + "/agents/mother?namespace=other", None, d.admin, 404),
    ("a wrong verb", "PUT", ISO + "/agents/mother", None, d.admin, 405), ("a wrong verb on a list", "DELETE", ISO + "/agents", None, d.admin, 405),
    ("a tool that is not allowed", "POST", CALL, {"tool": "create_policy", "input": {"name": "x", "network": "n", "action": "ALLOW"}}, mother["jwt"], 403),
    ("a change with a bad argument", "POST", CALL, {"tool": "delete_policy", "input": {"name": 5}}, mother["jwt"], 400),
    ("an approval that is none", "POST", "/api/v1/approvals/nothing/approve", {}, d.admin, 404),
    ("an agent approves", "POST", "/api/v1/approvals/nothing/approve", {}, mother["jwt"], 403),
]
before = dump()
for what, method, path, body, bearer, status in refusals:
    r = d.call(method, path, body, bearer, {"Idempotency-Key": "once"} if status == 422 else None)
    after = dump()
    ok(is_problem(r, status) and after == before, f"{what}: {status}, and nothing was written", (r, after == before))
    before = after
raws = {"bad UTF-8": b'{"namespace":"te\xff"}', "a doubled member": b'{"namespace":"a","namespace":"b"}', "a cut body": b'{"namespace":"team"',
        "an oversize body": b'{"namespace":"' + b"a" * 70000 + b'"}', "two documents": b'{"namespace":"a"}{"namespace":"b"}'}
for what, raw in raws.items():
    r = d.call("POST", create, raw=raw, token=d.admin)
    ok(is_problem(r, 413 if "oversize" in what else 400) and dump() == before, f"{what}: refused, and nothing was written", r)
half = socket.create_connection(("127.0.0.1", d.port))
body = json.dumps(grant).encode()
half.sendall(f"POST {create} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {d.admin}\r\nContent-Type: application/json\r\n"
             f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:-1])
half.close()
ok(d.call("GET", "/healthz").status == 200 and dump() == before, "a client that hangs up before the last byte wrote nothing")
ok(d.call("POST", create, grant, d.admin).status == 201 and dump() != before, "the same body, whole, is written")
ok(d.register(kept, "late").status == 200, "the token that refusals named is still good")

# --- a storm: valid requests, broken somewhere
rng = random.Random(SEED)
print(f"# seed {SEED}, {ROUNDS} requests", flush=True)
kid = d.call("POST", ISO + "/delegate", wish, mother["jwt"]).data["enrollmentToken"]
requests = [("POST", create, grant, d.admin), ("POST", ISO + "/register", {**redeem, "enrollmentToken": kid}, None), ("POST", ISO + "/delegate", wish, mother["jwt"]),
            ("POST", ISO + "/token", {"refreshToken": stranger["refreshToken"]}, None), ("PUT", "/api/v1/gateway", gate, d.gateway),
            ("POST", CALL, {"tool": "list_peers", "input": {}, "namespace": "team"}, stranger["jwt"]), ("GET", ISO + "/self", None, stranger["jwt"]),
            ("POST", HUMAN, {"tool": "check_connectivity", "workspaceId": "team", "input": {"from": "mother", "to": "192.0.2.1"}}, d.admin),
            ("POST", HUMAN, {"tool": "create_policy", "workspaceId": "team", "input": {"name": "p", "network": "n", "action": "DENY"}}, d.admin),
            ("GET", ISO + "/agents?workspace=team&limit=5", None, d.admin), ("GET", ISO + "/agents/mother?namespace=team", None, d.admin),
            ("DELETE", ISO + "/agents/ghost?namespace=team", None, d.admin), ("DELETE", f"{create}/0123456789abcdef", None, d.admin),
            ("GET", ISO + "/audit/traces?agentId=mother&from=2026-01-01T00:00:00Z&limit=3", None, d.admin), ("GET", ISO + "/flow-events?traceId=x", None, d.admin),
            ("GET", ISO + "/audit/agents/mother/calltree", None, d.admin), ("GET", "/api/v1/gateway/peers?wait=0", None, d.gateway),
            ("GET", "/api/v1/approvals?state=pending", None, d.admin), ("POST", "/api/v1/approvals/x/reject", {"via": "t"}, d.admin),
            ("GET", "/api/v1/discovery", None, None), ("GET", "/metrics", None, None), ("GET", "/.well-known/jwks.json", None, None)]
nasty = ["", "\x00", "\u202e", "ｌist_peers", "../../etc/passwd", "'; DROP TABLE agents; --", "%00", "a" * 5000, "-1", "9" * 30, "NaN", "\ud83d\ude00", "{}", "%s%n", "\r\nX: y"]
values = nasty + [None, True, 0, -1, 1.5, 10 ** 18, 2 ** 63, [], {}, [[]], {"a": {"b": []}}, ["x"] * 300]


def mutate_body(body):
    if body is None:
        return b"" if rng.random() < 0.8 else rng.randbytes(rng.randrange(1, 64))
    body, choice = json.loads(json.dumps(body)), rng.randrange(7)
    if choice == 0 and body:
        body[rng.choice(list(body))] = rng.choice(values)
    elif choice == 1:
        body[rng.choice(nasty) or "x"] = rng.choice(values)
    elif choice == 2 and body:
        del body[rng.choice(list(body))]
    text = json.dumps(body, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if choice == 3 and text:
        at = rng.randrange(len(text))
        text = text[:at] + rng.randbytes(rng.randrange(1, 4)) + text[at + rng.randrange(0, 3):]
    elif choice == 4:
        text = text[:rng.randrange(len(text) + 1)]
    elif choice == 5:
        text = text * 2 if rng.random() < 0.5 else b"[" * rng.randrange(1, 3000) + text
    return text


def mutate_path(path):
    choice = rng.randrange(8)
    if choice == 0:
        at = rng.randrange(1, len(path))
        return path[:at] + rng.choice("/?&=%.;#~!@\"<>\\^`{|}") + path[at:]
    if choice == 1:
        return path + ("&" if "?" in path else "?") + rng.choice(["limit=0", "limit=99999", "cursor=x", "cursor=-1", "wait=999999", "wait=x", "a=b", "limit", "limit=1&limit=2", "%00=%ff"])
    if choice == 2:
        parts = path.split("/")
        parts[rng.randrange(1, len(parts))] = rng.choice(["", ".", "..", "%2e%2e", "%2f", "%zz", "%c0%af", "x" * 3000, "%F0%9F%98%80"])
        return "/".join(parts)
    return path


def mutate_headers(bearer):
    head = {"Host": "x", "Content-Type": rng.choice(["application/json"] * 6 + ["text/plain", "application/json; charset=utf-8", "application/jsonx", ""])}
    if bearer:
        head["Authorization"] = rng.choice([f"Bearer {bearer}"] * 8 + [bearer, f"bearer {bearer}", f"Bearer {bearer} ", f"Bearer {bearer[:-1]}", "Bearer ", "Bearer " + "a" * 9000, "Basic eA=="])
    if rng.random() < 0.2:
        head["Idempotency-Key"] = rng.choice(["k", "k" * 200, "a b", "\t", "k" + str(rng.randrange(50))])
    if rng.random() < 0.1:
        head["If-None-Match"] = rng.choice(["*", '"1"', "x" * 500])
    return head


def send(line, method, path, head, body):
    text = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in head.items()) + f"Content-Length: {len(body)}\r\n\r\n"
    line.sendall(text.encode("latin-1", "replace") + body)
    reader = line.makefile("rb")
    status = reader.readline()
    if not status:
        return None, {}, b""
    heads = http.client.parse_headers(reader)
    return int(status.split()[1]), heads, b"" if method == "HEAD" else reader.read(int(heads.get("Content-Length") or 0))


line, worst, seen, malformed = None, [], {}, []
for n in range(ROUNDS):
    method, path, content, bearer = rng.choice(requests)
    if rng.random() < 0.08:
        method = rng.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW", "x" * 100])
    what = (method, mutate_path(path), mutate_headers(bearer), mutate_body(content))
    for attempt in (1, 2):  # a connection that the server has closed meanwhile is opened anew
        if line is None:
            line = socket.create_connection(("127.0.0.1", d.port), timeout=30)
        try:
            status, heads, answer = send(line, *what)
        except (ConnectionError, BrokenPipeError):
            status = None
        if status is not None:
            break
        line.close()
        line = None
    seen[status] = seen.get(status, 0) + 1
    if status is None or status >= 500:
        worst.append((what, status, answer[:200]))
    elif status >= 400 and method != "HEAD" and heads.get("Content-Type") != "application/problem+json":
        malformed.append((what, status, answer[:200]))
    if line is not None and (status is None or heads.get("Connection") == "close" or method == "HEAD"):
        line.close()
        line = None
print(f"# answers: {dict(sorted(seen.items(), key=str))}")
ok(not worst, "no broken request was answered with a 5xx, or not at all", worst[:3])
ok(not malformed, "every refusal is a problem document", malformed[:3])
ok(len([s for s in seen if s and s < 400]) >= 2 and len([s for s in seen if s and s >= 400]) >= 6, "the storm met success and many refusals", seen)
ok(d.process.poll() is None and d.call("GET", "/readyz").status == 200, "latticed lives")
check = sqlite3.connect(f"file:{d.dir}/data/lattice.db?mode=ro", uri=True)
ok(check.execute("PRAGMA integrity_check").fetchone() == ("ok",) and check.execute("PRAGMA foreign_key_check").fetchall() == [], "the database is whole")
check.close()

# --- bytes that are no HTTP at all
for raw in (b"\x00" * 100, b"\x16\x03\x01\x02\x00" + rng.randbytes(200), b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"G" * 40000, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 9000 + b"\r\n",
            b"GET / HTTP/1.1\r\nHost x\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") + tuple(rng.randbytes(300) for _ in range(50)):
    s = socket.create_connection(("127.0.0.1", d.port), timeout=1)
    try:
        s.sendall(raw)
        s.shutdown(socket.SHUT_WR)
        first = s.recv(4096)
    except OSError:  # cut, or waited for: what counts is that the next one is served
        first = b""
    s.close()
    if first and not first.startswith(b"HTTP/1."):
        ok(False, "an answer that is no HTTP", (raw[:50], first[:100]))
    if first[9:10] == b"5" and first[9:12] != b"505":  # 505: a version that nobody speaks
        ok(False, "garbage was answered with a 5xx", (raw[:50], first[:100]))
ok(d.call("GET", "/healthz").status == 200, "garbage is survived")

# --- floods: an agent's limit is its own
def counted(name):
    """A counter of /metrics."""
    return int(re.search(rf"^{name} (\d+)$", d.call("GET", "/metrics").body.decode(), re.M)[1])


flood = d.enrol("flood", allowedTools=["list_networks"])
bystander = d.enrol("bystander", allowedTools=["list_networks"])  # mother may not have survived a long storm
limited = counted("lattice_http_limited_total")
line, got = d.connection(), None
for n in range(3000):
    line.request("GET", ISO + "/self", headers={"Authorization": f"Bearer {flood['jwt']}"})
    answer = line.getresponse()
    text = answer.read()
    if answer.status != 200:
        got = answer
        break
line.close()
if got is None:
    print("# this machine is slower than the limit: the flood is not judged")
else:
    ok(got.status == 429 and int(got.getheader("Retry-After")) >= 1 and n >= 200, f"an agent that floods is told to come back later (after {n})", got.status)
    ok(d.call("GET", ISO + "/self", token=bystander["jwt"]).status == 200, "another agent does not feel it")
    time.sleep(int(got.getheader("Retry-After")))
    ok(d.call("GET", ISO + "/self", token=flood["jwt"]).status == 200, "after the time it was told, it is heard again")
failed, limited = counted("lattice_http_failed_total"), counted("lattice_http_limited_total") - limited
ok(failed == 0 and (got is None or limited == 1), "no answer was a 5xx; refusals by limit are counted", (failed, limited))

# --- more connections than there are places
crowd = []
for _ in range(600):
    try:
        s = socket.create_connection(("127.0.0.1", d.port), timeout=5)
    except OSError:
        break
    crowd.append(s)
for s in crowd:
    s.close()
deadline = time.monotonic() + 30
while time.monotonic() < deadline:
    try:
        if d.call("GET", "/healthz").status == 200:
            break
    except OSError:
        pass
ok(d.call("GET", "/healthz").status == 200, f"a crowd of {len(crowd)} connections passes")

# --- the slow ones were cut
took = [f.result() for f in drips]
ok(max(took) < 30, f"clients that drip are cut (after {max(took):.0f} s)", took)
ok(d.stop() == 0, "SIGTERM ends it in order")
d.done()
sys.exit(1 if control.failed else 0)
