# SPDX-License-Identifier: Apache-2.0
"""lattice login, token, agent and delegate against a real latticed: output, JSON, exit codes."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import control
from control import ISO, Latticed, ok

d = Latticed("--no-nats")
url = f"http://127.0.0.1:{d.port}"
home = d.dir / "home"
home.mkdir()
program = pathlib.Path(os.environ["LATTICE_BIN"], "lattice")
base = {"HOME": str(home), "PATH": "/usr/bin:/bin"}


def run(*words, stdin="", **env):
    return subprocess.run([program, *words], input=stdin, text=True, capture_output=True, env={**base, **env}, timeout=60)


def file(name, content):
    path = d.dir / name
    path.write_text(content)
    return str(path)


r = run("agent", "list")
ok(r.returncode == 4 and "lattice login" in r.stderr, "without a login the way to it is said", r)
r = run("login", "--server-url", url, stdin="lt-admin-wrong\n")
ok(r.returncode == 4 and not (home / ".lattice").exists(), "a wrong token is refused and not kept", r)
r = run("login", "--server-url", url, stdin=d.admin + "\n")
saved = home / ".lattice/lattice.yaml"
ok(r.returncode == 0 and saved.stat().st_mode & 0o777 == 0o600 and r.stdout == "", "login keeps the token, mode 0600", r)
ok(saved.read_text() == f"server-url: {url}\nauth-token: {d.admin}\n", "in the original's file and keys", saved.read_text().replace(d.admin, "…"))
r = run("login", "--server-url", url, "--token-file", str(d.dir / "data/admin-token"), LATTICE_CONFIG_DIR=str(d.dir / "cfg"))
ok(r.returncode == 0 and (d.dir / "cfg/lattice.yaml").exists(), "LATTICE_CONFIG_DIR is honoured", r)

r = run("token", "create", "--namespace", "team", "--tool", "list_peers", "--tool", "read", "--destination", "allow *:443", "--agent-ttl", "600")
token = r.stdout.strip()
ok(r.returncode == 0 and token.startswith("lt-enroll-") and r.stderr == "", "token create prints the token alone", r)
mother = d.register(token, "mother").data
r = run("token", "create", "--json")
made = json.loads(r.stdout)
ok(set(made) == {"id", "token", "expiresAt"}, "--json prints an object", r)
r = run("token", "list")
ok(r.returncode == 0 and f"{made['id']}  unused" in r.stdout and made["token"] not in r.stdout, "token list shows states, no secrets", r)
ok(len([json.loads(line) for line in run("token", "list", "--json").stdout.splitlines()]) == 2, "--json lists one object a line")
ok(run("token", "revoke", made["id"]).returncode == 0, "token revoke")
r = run("token", "revoke", made["id"])
ok(r.returncode == 5 and "(404)" in r.stderr, "what is not there is exit 5", r)
r = run("token", "create", "--ttl", "soon")
ok(r.returncode == 1 and "ttlSeconds" in r.stderr, "latticed's reason is shown", r)

jwt = file("jwt", mother["jwt"] + "\n")
r = run("delegate", "kid", "--tool", "read", "--tool", "rm", "--destination", "allow api.example:443", "--server-url", url, LATTICE_TOKEN_FILE=jwt)
ok(r.returncode == 0 and r.stdout.startswith("lt-delegate-"), "delegate prints the child's token", r)
d.register(r.stdout.strip(), "kid")
r = run("agent", "show", "kid", "--namespace", "team")
ok(r.returncode == 0 and "child of mother" in r.stdout and "read" in r.stdout and "rm" not in r.stdout.split() and "allow api.example:443" in r.stdout,
   "agent show shows the narrowed child", r)
r = run("agent", "list", "--token-file", jwt)
ok(r.returncode == 3, "an agent's token is refused with exit 3", r)
r = run("agent", "list", "--namespace", "team", "--json")
ok([json.loads(line)["name"] for line in r.stdout.splitlines()] == ["mother", "kid"], "agent list --json", r)
ok([json.loads(line)["name"] for line in run("agent", "list", "--parent", "mother", "--json").stdout.splitlines()] == ["kid"], "agent list --parent")
r = run("agent", "revoke", "mother", "--namespace", "team")
ok(r.returncode == 0 and "1 below it" in r.stdout, "agent revoke takes the child, too", r)
ok(run("agent", "list").stdout.count("Revoked") == 2, "agent list shows it")
ok(run("delegate", "--token-file", jwt, "kid2").returncode == 4, "a revoked agent cannot delegate: exit 4")

for words in (["token"], ["token", "make"], ["token", "revoke"], ["token", "list", "x"], ["agent", "show"], ["agent", "list", "x"], ["delegate"],
              ["agent", "list", "--nope"], ["login", "x"]):
    ok(run(*words).returncode == 2, f"lattice {' '.join(words)} is a usage error")
for word in ("login", "token", "agent", "delegate"):
    r = run(word, "--help")
    ok(r.returncode == 0 and "--server-url" in r.stdout, f"lattice {word} --help", r)
r = run("agent", "list", "--server-url", "http://192.0.2.1:1")
ok(r.returncode == 1 and "--insecure-http" in r.stderr, "the token is not sent in clear to another host", r)
ok(run("agent", "list", "--server-url", "ftp://127.0.0.1").returncode == 1, "other schemes are refused")
for i in range(205):
    d.register(d.token(), f"many-{i}")
names = [json.loads(line)["name"] for line in run("agent", "list", "--json").stdout.splitlines()]
ok(len(names) == len(set(names)) == 207, "all pages are listed", len(names))
d.stop()
r = run("agent", "list")
ok(r.returncode == 1 and url in r.stderr, "latticed away is one line and exit 1", r)
d.done()
sys.exit(1 if control.failed else 0)
