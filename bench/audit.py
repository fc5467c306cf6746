#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The audit's figures, from the spool to REST. One line each: name, unit, median, p99, n (tab-separated); for rates p99 is what 99
of 100 rounds reach.

usage: bench/audit.py [--spans N] [--quick]
  --spans N  size of the projection that REST is asked about (default: 1000000)
  --quick    20000 spans and fewer rounds, for a look
"""
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("LATTICE_BIN", TOP / "build/release/bin"))
BENCH = pathlib.Path(os.environ.get("LATTICE_BENCH", BIN / "../bench"))
quick = "--quick" in sys.argv
spans = int(sys.argv[sys.argv.index("--spans") + 1]) if "--spans" in sys.argv else 20000 if quick else 1000000
home = pathlib.Path(tempfile.mkdtemp(prefix="lattice-bench-"))


def line(name, unit, values, is_rate=False):
    values = sorted(values, reverse=is_rate)
    print(f"{name}\t{unit}\t{values[len(values) // 2]:.1f}\t{values[min(len(values) - 1, int(len(values) * 0.99))]:.1f}\t{len(values)}", flush=True)


def nats_server():
    place = next(p for p in ("/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server") if os.access(p, os.X_OK))
    process = subprocess.Popen([place, "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", home / "js", "--ports_file_dir", home],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    file = home / f"nats-server_{process.pid}.ports"
    while True:
        try:
            return process, json.loads(file.read_text())["nats"][0]
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.01)


# ---- the spool, and the stream
subprocess.run([BENCH / "bench_audit"], check=True)
server, url = nats_server()
subprocess.run([BENCH / "bench_audit", "nats", url], check=True)

# ---- the supervisor's throughput: judged and recorded connections, with the stream well, stalled, and none
JUDGED = """
import socket, sys, time
def round(n):
    begin = time.perf_counter()
    for _ in range(n):
        s = socket.socket()
        try: s.connect(("192.0.2.1", 9))
        except OSError: pass
        s.close()
    return n / (time.perf_counter() - begin)
round(200)
print(*[round(int(sys.argv[1])) for _ in range(int(sys.argv[2]))])
"""


def judged(name, *options):
    rounds = 5 if quick else 15
    out = subprocess.run([BIN / "lattice", "sandbox", "start", "--offline", "--name", name, "--audit-log", home / f"{name}.jsonl", *options, "--",
                          "/usr/bin/python3", "-c", JUDGED, "500", str(rounds)], check=True, capture_output=True, text=True)
    return [float(x) for x in out.stdout.split()]


figures = {"none": [], "well": [], "stalled": []}
for turn in range(1 if quick else 3):  # in turn, so that the machine's moods hit all alike
    figures["none"] += judged(f"none{turn}")
    figures["well"] += judged(f"well{turn}", "--nats", url)
    os.kill(server.pid, signal.SIGSTOP)
    figures["stalled"] += judged(f"stalled{turn}", "--nats", url)
    os.kill(server.pid, signal.SIGCONT)
for how, values in figures.items():
    line(f"judged_connections_nats_{how}", "1/s", values, is_rate=True)
middle = {k: sorted(v)[len(v) // 2] for k, v in figures.items()}
print(f"judged_connections_stalled_to_well\tratio\t{middle['stalled'] / middle['well']:.2f}\t\t{len(figures['well'])}")
server.kill()
server.wait()

# ---- REST over a large projection
data = home / "data"
data.mkdir(mode=0o700)
begin = time.perf_counter()
subprocess.run([BENCH / "bench_audit", "fill", data / "traces.db", str(spans)], check=True)
line("projection_fill", "spans/s", [spans / (time.perf_counter() - begin)], is_rate=True)
read, write = os.pipe()
latticed = subprocess.Popen([BIN / "latticed", "--data", data, "--listen", "127.0.0.1:0", "--no-nats", "--ready-fd", str(write)],
                            pass_fds=[write], stderr=subprocess.DEVNULL)
os.close(write)
with os.fdopen(read) as ready:
    port = int(ready.readline())
token = (data / "admin-token").read_text().strip()
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
ISO = "/api/v1/agent-isolation"


def get(path):
    begin = time.perf_counter()
    connection.request("GET", ISO + path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    body = answer.read()
    took = (time.perf_counter() - begin) * 1e3
    assert answer.status == 200, body[:300]
    return took, json.loads(body)["data"]


rounds = 100 if quick else 1000
size = f"{spans // 1000}k" if spans < 1000000 else f"{spans // 1000000}M"
line(f"rest_spans_page_of_{size}", "ms", [get("/audit/traces")[0] for _ in range(rounds)])
line(f"rest_spans_of_an_agent_of_{size}", "ms", [get(f"/audit/traces?agentId=agent-{i % 50}")[0] for i in range(rounds)])
ids = [t["traceId"] for t in get("/audit/trace-summaries?limit=1000")[1]["items"]]
line(f"rest_trace_tree_of_{size}", "ms", [get(f"/audit/traces/{ids[i * 37 % len(ids)]}")[0] for i in range(rounds)])
line(f"rest_trace_summaries_of_{size}", "ms", [get("/audit/trace-summaries")[0] for _ in range(rounds)])
took, cursor = [], ""
for _ in range(rounds):
    ms, page = get(f"/audit/traces?limit=50{cursor}")
    took.append(ms)
    cursor = f"&cursor={page['nextCursor']}" if "nextCursor" in page else ""
line(f"rest_spans_deep_pages_of_{size}", "ms", took)
latticed.terminate()
latticed.wait()
shutil.rmtree(home)
