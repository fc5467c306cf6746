# SPDX-License-Identifier: Apache-2.0
"""What the tests of enrolled sandboxes share: a web server with an endless page, a gateway that
follows latticed, and sandboxes of agents. Everything is on loopback, on ports that the kernel chose."""
import atexit
import http.server
import os
import pathlib
import signal
import socketserver
import subprocess
import threading
import time

import control

LATTICE = pathlib.Path(os.environ["LATTICE_BIN"], "lattice")
LIMIT_S = 20


class Pages(http.server.BaseHTTPRequestHandler):
    """/small is a line; /endless sends a line every 20 ms until the reader goes."""

    def log_message(self, *_args):
        pass

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"canary-of-the-page\n")
        try:
            while self.path == "/endless":
                self.wfile.write(b"more\n" * 50)
                self.wfile.flush()
                time.sleep(0.02)
        except OSError:
            pass


class Web(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Pages)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, page):
        return f"http://127.0.0.1:{self.port}/{page}"


def wait_for(what, limit_s=LIMIT_S):
    """Ask @what until it is true; how long that took, or None."""
    begun = time.monotonic()
    while time.monotonic() - begun < limit_s:
        if what():
            return time.monotonic() - begun
        time.sleep(0.02)
    return None


class Program:
    """A program whose output is collected in files while it runs."""

    def __init__(self, folder, name, *argv, env=None, pass_fds=()):
        self.out, self.err = folder / f"{name}.out", folder / f"{name}.err"
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.out.open("wb"),
                                        stderr=self.err.open("wb"), env=env, pass_fds=pass_fds)
        atexit.register(self.end)

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait(timeout=10)

    def wait(self, limit_s=LIMIT_S):
        try:
            return self.process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return None

    def child_status(self, name):
        """What the kernel says of its child of this name: {"Seccomp": "2", …}."""
        text = pathlib.Path(f"/proc/{self.child(name)}/status").read_text()
        return dict(line.split(":\t", 1) for line in text.splitlines())

    def child(self, name):
        """The process id of its child of this name."""
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, rest = path.read_text().split(" (", 1)
                comm, rest = rest.rsplit(") ", 1)
            except OSError:
                continue
            if comm == name[:15] and int(rest.split()[1]) == self.process.pid:
                return int(pid)
        raise SystemExit(f"no child {name}")

    @property
    def said(self):
        return self.out.read_text(errors="replace")

    @property
    def complained(self):
        return self.err.read_text(errors="replace")

    def grows(self, for_s=0.3):
        """Does its output still grow?"""
        before = self.out.stat().st_size
        time.sleep(for_s)
        return self.out.stat().st_size > before


class World:
    def __init__(self, *options):
        self.latticed = control.Latticed(*options)
        self.dir = self.latticed.dir
        self.port = self.latticed.port
        self.url = f"http://127.0.0.1:{self.port}"
        self.web = Web()
        self.gateway = None

    def environment(self, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith("LATTICE_")}
        return env | {"HOME": str(self.dir)} | {k: str(v) for k, v in more.items()}

    def start_gateway(self, name="gateway", *options):
        read, write = os.pipe()
        self.gateway = Program(
            self.dir, name, LATTICE, "gateway", "--server-url", self.url, "--token-file", self.dir / "data/gateway-token",
            "--audit-log", self.dir / f"{name}.jsonl", "--verbose", "--ready-fd", str(write), *options,
            env=self.environment(LATTICE_CONFIG_DIR=self.dir / f"{name}.config"), pass_fds=[write])
        os.close(write)
        with os.fdopen(read) as ready:
            line = ready.readline()
        if not line:
            raise SystemExit(f"the gateway did not start: {self.gateway.complained}")
        return self.gateway

    def sandbox(self, name, *command, token=None, options=(), label=None, config=None):
        argv = [LATTICE, "sandbox", "start", "--name", name, "--server-url", self.url,
                "--audit-log", self.dir / f"{name}.jsonl", *options]
        if token:
            argv += ["--token", token]
        return Program(self.dir, label or name, *argv, "--", *command,
                       env=self.environment(LATTICE_CONFIG_DIR=config or self.dir / f"{name}.config"))
