# SPDX-License-Identifier: Apache-2.0
"""Programs as spans: what ran, below what, with which arguments and end; and on whose behalf a server works."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

LATTICE = pathlib.Path(os.environ["LATTICE_BIN"], "lattice")
home = pathlib.Path(tempfile.mkdtemp(prefix="lattice-programs-"))
failed = 0


def ok(condition, what, detail=""):
    global failed
    print(f"{'ok' if condition else 'not ok'} - {what}", flush=True)
    if not condition:
        failed += 1
        print(f"#   {detail}"[:2000], flush=True)


def run(name, *command, options=(), **more):
    log = home / f"{name}.jsonl"
    done = subprocess.run([LATTICE, "sandbox", "start", "--name", name, "--audit-log", log, *options, "--", *command],
                          capture_output=True, text=True, **more)
    return done, [json.loads(x) for x in log.read_text().splitlines()]


# ---- what ran
script = """
/bin/true
/bin/sh -c 'kill -9 $$'
no-such-program 2>/dev/null
/usr/bin/env A=1 /bin/sh -c 'exit 7'
/bin/echo --password hunter2 https://me:hunter2@host/ >/dev/null
( ( /usr/bin/setsid /bin/sh -c '/bin/sleep 0.2; /usr/bin/tail -n0 /dev/null' & ) & ) # orphans, soon
/bin/sleep 0.6
exit 3
"""
done, records = run("ran", "/bin/bash", "-c", script)
ok(done.returncode == 3, "the sandbox runs", done)
starts = {r["span_id"]: r for r in records if r["kind"] == "exec"}
ends = {r["span_id"]: r for r in records if r["kind"] == "exit"}
root = records[0]["span_id"]


def only(tool, *words):
    found = [s for s, r in starts.items() if r["tool"].removeprefix("exec:") in tool.split("|") and all(w in r["arguments"] for w in words)]
    ok(len(found) == 1, f"one span of {tool} {' '.join(words)}", [r["arguments"] for r in starts.values()])
    return found[0] if found else root


bash = only("bash")
ok(starts[bash]["parent_span_id"] == root, "the first program is below the sandbox")
ok(set(starts) == set(ends), "each program that began has ended", (len(starts), len(ends)))
ok(all(r["trace_id"] == records[0]["trace_id"] for r in records), "all are one trace")
shell = "dash|sh|bash"
for what, span, status in (("true", only("true"), 0), ("a killed shell", only(shell, "kill -9 $$"), 137),
                           ("env's shell", only(shell, "exit 7"), 7), ("bash", bash, 3)):
    ok(ends[span]["exit_status"] == status, f"{what}: exit status {status}", ends[span])
    ok(span == bash or starts[span]["parent_span_id"] == bash, f"{what}: below its parent", starts[span])
ok(not any("no-such-program" in r["tool"] for r in starts.values()), "what could not be executed is no program")
echo = starts[only("echo")]
ok("hunter2" not in json.dumps(echo) and echo["arguments"][1] == "--password", "secrets among arguments are masked", echo)
ok("hunter2" not in (home / "ran.jsonl").read_text(), "… and in the script, which is one, too")
daemon = only(shell, "/bin/sleep 0.2; /usr/bin/tail -n0 /dev/null")
ok(starts[only("tail")]["parent_span_id"] == daemon, "a daemon's child is below the daemon", starts[daemon])

# ---- as a part of somebody's trace
trace, span = "00000000-0000-4000-8000-00000000abcd", "00000000000000aa"
done, records = run("part", "/bin/true", options=("--trace-id", trace, "--parent-span", span))
ok(done.returncode == 0 and records[0]["trace_id"] == trace and records[0]["parent_span_id"] == span, "a sandbox joins its starter's trace", records[:1])
for bad in (("--trace-id", "x"), ("--parent-span", "12"), ("--cause-fd", "1"), ("--cause-fd", "99")):
    done = subprocess.run([LATTICE, "sandbox", "start", *bad, "--audit-log", home / "bad.jsonl", "--", "/bin/true"], capture_output=True, text=True)
    ok(done.returncode == 125 and done.stderr.strip() != "", f"{' '.join(bad)} is refused", done)

# ---- on whose behalf
SERVER = r"""
import socket, subprocess, sys
for line in sys.stdin:
    s = socket.socket()
    try: s.connect(("192.0.2.9", int(line)))
    except OSError: pass
    s.close()
    subprocess.run(["/bin/true", line.strip()])
    print("done", flush=True)
"""
read, write = os.pipe()
log = home / "server.jsonl"
server = subprocess.Popen([LATTICE, "sandbox", "start", "--name", "server", "--audit-log", log, "--cause-fd", str(read), "--",
                           "/usr/bin/python3", "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[read],
                          stderr=subprocess.DEVNULL)
calls = {1: "", 2: "1111111111111111", 3: "2222222222222222", 4: ""}
for port, cause in calls.items():
    os.write(write, cause.encode() + b"\n")
    server.stdin.write(f"{port}\n")
    server.stdin.flush()
    ok(server.stdout.readline() == "done\n", f"call {port}")
server.stdin.close()
ok(server.wait() == 0, "the server ends")
records = [json.loads(x) for x in log.read_text().splitlines()]
own = next(r["span_id"] for r in records if r["kind"] == "exec" and "python" in r["tool"])
for port, cause in calls.items():
    decision = next(r for r in records if r["kind"] == "decision" and r.get("dst_port") == port)
    ok(decision["parent_span_id"] == (cause or own), f"the flow of call {port} belongs to {'the call' if cause else 'the server'}", decision)
    program = next(r for r in records if r["kind"] == "exec" and r.get("arguments") == ["/bin/true", str(port)])
    ok(program["parent_span_id"] == (cause or own), "… and so does the program that it started", program)
shutil.rmtree(home)
sys.exit(1 if failed else 0)
