# SPDX-License-Identifier: Apache-2.0
"""A latticed of the test's own, and a small HTTP client that says exactly which bytes are sent."""
import atexit
import base64
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

ISO = "/api/v1/agent-isolation"
failed = 0


def ok(condition, what, detail=""):
    global failed
    print(f"{'ok' if condition else 'not ok'} - {what}", flush=True)
    if not condition:
        failed += 1
        if detail != "":
            print(f"#   {detail}"[:2000], flush=True)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def data(self):
        return self.json["data"]

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Latticed:
    def __init__(self, *options):
        self.program = pathlib.Path(os.environ["LATTICE_BIN"], "latticed")
        self.options = options
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="lattice-control-"))
        self.process = None
        atexit.register(self.done)
        self.start()
        self.admin = (self.dir / "data/admin-token").read_text().strip()
        self.gateway = (self.dir / "data/gateway-token").read_text().strip()

    def start(self, port=0):
        read, write = os.pipe()
        self.process = subprocess.Popen(
            [self.program, "--data", self.dir / "data", "--listen", f"127.0.0.1:{port}", "--ready-fd", str(write),
             *self.options], pass_fds=[write], stderr=open(self.dir / "stderr", "ab"))
        os.close(write)
        with os.fdopen(read) as ready:
            line = ready.readline()
        if not line:
            raise SystemExit(f"latticed did not start: {(self.dir / 'stderr').read_text()}")
        self.port = int(line)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(timeout=30)

    def done(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def call(self, method, path, body=None, token=None, headers=None, raw=None):
        head = dict(headers or {})
        if token:
            head["Authorization"] = f"Bearer {token}"
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            head.setdefault("Content-Type", "application/json")
        connection = self.connection()
        try:
            connection.request(method, path, body=raw, headers=head)
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def token(self, **fields):
        fields.setdefault("namespace", "team")
        reply = self.call("POST", ISO + "/enrollment-tokens", fields, self.admin)
        assert reply.status == 201, reply
        return reply.data["token"]

    def register(self, token, name, key=None):
        return self.call("POST", ISO + "/register",
                         {"enrollmentToken": token, "agentName": name, "publicKey": new_key() if key is None else key})

    def enrol(self, name, **fields):
        reply = self.register(self.token(**fields), name)
        assert reply.status == 200, reply
        return reply.data

    def revoke(self, name, namespace="team"):
        return self.call("DELETE", f"{ISO}/agents/{name}?namespace={namespace}", token=self.admin)


def new_key():
    return base64.b64encode(os.urandom(32)).decode()


def is_problem(reply, status):
    if reply.status != status or reply.headers.get("content-type") != "application/problem+json":
        return False
    p = reply.json
    return p["status"] == p["code"] == status and p["msg"] == p["detail"] != "" and p["type"] and p["title"]
