# SPDX-License-Identifier: Apache-2.0
"""Hostile stdio MCP servers behind the gateway: one floods, one says a line without end, one dies, one hangs,
one lies. The client is answered, and neither time nor memory is lost. Usage: mcp_hostile.py [serve HOW]"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time


def serve(how):
    first = json.loads(sys.stdin.readline())
    out = sys.stdout
    if how == "flood":
        note = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x" * 4096}})
        while True:
            print(note, flush=True)
    if how == "endless":
        while True:
            out.write("x" * 65536)
    if how == "die":
        os._exit(3)
    if how == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "hanging"}}), flush=True)
        while True:
            signal.pause()
    if how == "lie":  # answers nobody asked for, no JSON, a request of its own; then the answer, twice
        for line in ('{"jsonrpc":"2.0","id":99,"result":{}}', "no json", '{"jsonrpc":"2.0","id":1,"method":"roots/list"}',
                     '{"jsonrpc":"2.0","id":1,"result":{"content":[]},"id":2}'):
            print(line)
        for _ in range(2):
            print(json.dumps({"jsonrpc": "2.0", "id": first["id"], "result": {"content": [{"type": "text", "text": "true"}]}}))
        out.flush()
        sys.stdin.read()


if sys.argv[1:2] == ["serve"]:
    serve(sys.argv[2])
    sys.exit(0)

failed = 0
bin_dir = os.environ["LATTICE_BIN"]
work = tempfile.mkdtemp(prefix="lattice-hostile-")


def ok(good, what, detail=""):
    global failed
    print(f"{'ok' if good else 'not ok'} - {what}", flush=True)
    if not good:
        failed = 1
        print(f"#   {detail}"[:1500], flush=True)


def gateway(how):
    p = subprocess.Popen([f"{bin_dir}/lattice-mcp", "gateway", "--name", how, "--allow-tool", "t", "--offline", "--audit-log", f"{work}/{how}.jsonl",
                          "--", "/usr/bin/python3", __file__, "serve", how],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(f"{work}/{how}.err", "ab"))
    p.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}\n')
    p.stdin.flush()
    return p


def end(p, how):
    p.send_signal(signal.SIGTERM)
    try:
        p.wait(timeout=20)
    except subprocess.TimeoutExpired:
        p.kill()
        p.wait()
        return ok(False, f"{how}: the gateway ends when it is told to")
    ok(True, f"{how}: the gateway ends when it is told to")


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


probe = subprocess.run([f"{bin_dir}/lattice", "sandbox", "start", "--name", "probe", "--offline", "--audit-log", f"{work}/probe.jsonl", "--", "true"],
                       capture_output=True)
if probe.returncode != 0:
    print("SKIP: no sandbox here")
    sys.exit(77)

p = gateway("lie")
ok(json.loads(p.stdout.readline())["result"]["content"][0]["text"] == "true", "lie: only the answer that was asked for comes")
p.stdin.close()
ok(p.stdout.read() == b"" and p.wait(timeout=30) == 0, "lie: … once, and nothing else")

p = gateway("die")
answer = json.loads(p.stdout.readline())
ok(answer["id"] == 1 and answer["error"]["code"] == -31002, "die: the call is answered", answer)
ok(p.wait(timeout=30) == 3, "die: the server's status is passed on")

p = gateway("endless")
answer = json.loads(p.stdout.readline())
ok(answer["error"]["code"] == -31002, "endless: a line without end ends the server, and the call is answered", answer)
end(p, "endless") if p.poll() is None else ok(True, "endless: the gateway ended")

p = gateway("flood")
taken = len(p.stdout.read(1 << 20))
ok(taken == 1 << 20, "flood: what is read comes through")
before, deadline = rss_kib(p.pid), time.monotonic() + 10
while time.monotonic() < deadline:  # nobody reads: the queues fill, and then nothing may grow
    now = rss_kib(p.pid)
    if now == before and now > 0 and time.monotonic() > deadline - 8:
        break
    before = now
ok(rss_kib(p.pid) < 100 * 1024, "flood: memory is bounded while nobody reads", rss_kib(p.pid))
p.stdout.close()
end(p, "flood")

p = gateway("hang")
ok(json.loads(p.stdout.readline())["params"]["data"] == "hanging", "hang: the server runs, and ignores SIGTERM")
p.stdin.write(b'{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"other"}}\n')
p.stdin.flush()
answer = json.loads(p.stdout.readline())
ok(answer["id"] == 2 and answer["error"]["code"] == -32602, "hang: what needs no server is answered meanwhile", answer)
if os.environ.get("LATTICE_LONG") == "1":
    p.stdin.close()
    ok(p.wait(timeout=60) is not None, "hang: a server that does not end with its client is ended")
else:
    end(p, "hang")
subprocess.run(["rm", "-rf", work], check=False)
sys.exit(failed)
