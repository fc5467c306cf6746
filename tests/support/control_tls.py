# SPDX-License-Identifier: Apache-2.0
"""TLS by option, seen by curl and by lattice itself; and the guard in front of plain HTTP."""
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
import control
from control import ISO, Latticed, ok

scratch = tempfile.TemporaryDirectory(prefix="lattice-tls-")
home = pathlib.Path(scratch.name)


def run(*words, **more):
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=60, **more)


def authority(name):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
        "-keyout", home / f"{name}.key", "-out", home / f"{name}.pem", check=True)


def certificate(name, ca, names):
    run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
        "-keyout", home / f"{name}.key", "-out", home / f"{name}.csr", check=True)
    (home / "ext").write_text(f"subjectAltName={names}\n")
    run("openssl", "x509", "-req", "-in", home / f"{name}.csr", "-CA", home / f"{ca}.pem", "-CAkey", home / f"{ca}.key", "-CAcreateserial",
        "-days", "2", "-extfile", home / "ext", "-out", home / f"{name}.pem", check=True)


authority("ca")
authority("wrong")
certificate("server", "ca", "IP:127.0.0.1,DNS:localhost")
d = Latticed("--no-nats", "--tls-cert", str(home / "server.pem"), "--tls-key", str(home / "server.key"))
url = f"https://127.0.0.1:{d.port}"
curl = lambda *words: run("curl", "-sS", "--noproxy", "*", "-o", home / "body", "-w", "%{http_code} %{ssl_verify_result}", *words)

r = curl("--cacert", home / "ca.pem", f"{url}/healthz")
ok(r.returncode == 0 and r.stdout == "200 0" and (home / "body").read_text() == "ok\n", "curl that trusts the CA is served", r)
r = curl("--cacert", home / "ca.pem", "-H", f"Authorization: Bearer {d.admin}", f"{url}{ISO}/agents")
ok(r.stdout == "200 0", "and may use its token", r)
r = curl("--cacert", home / "wrong.pem", f"{url}/healthz")
ok(r.returncode == 60, "curl that trusts another CA refuses the server", r)
r = curl(f"{url}/healthz")
ok(r.returncode == 60, "curl with the system's CAs refuses it", r)
r = curl("--cacert", home / "ca.pem", "--connect-to", f"else.example:443:127.0.0.1:{d.port}", "https://else.example/healthz")
ok(r.returncode == 60, "a name that is not in the certificate is refused", r)
r = curl("--max-time", "20", f"http://127.0.0.1:{d.port}/healthz")
ok(r.returncode != 0 and r.stdout.startswith("000"), "plain HTTP gets no answer", r)
for version, taken in (("1.0", False), ("1.1", False), ("1.2", True), ("1.3", True)):
    r = run("curl", "-sS", "--noproxy", "*", "--cacert", home / "ca.pem", "--ciphers", "DEFAULT:@SECLEVEL=0", f"--tlsv{version}", "--tls-max", version, "-o", home / "body", f"{url}/healthz")
    ok((r.returncode == 0) == taken, f"TLS {version} is {'taken' if taken else 'refused'}", r)
raw = socket.create_connection(("127.0.0.1", d.port), timeout=30)
raw.sendall(os.urandom(400))
raw.close()
r = curl("--cacert", home / "ca.pem", f"{url}/readyz")
ok(r.stdout == "200 0", "garbage instead of a handshake is survived", r)

lattice = pathlib.Path(os.environ["LATTICE_BIN"], "lattice")
env = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
words = ["agent", "list", "--server-url", url, "--token-file", str(d.dir / "data/admin-token")]
r = run(lattice, *words, "--ca-file", home / "ca.pem", env=env)
ok(r.returncode == 0 and r.stderr == "", "lattice trusts the CA that it is given", r)
r = run(lattice, *words, "--ca-file", home / "wrong.pem", env=env)
ok(r.returncode == 1 and r.stderr.count("\n") == 1, "and no other; one line says so", r)
ok(d.stop() == 0, "SIGTERM ends it in order")


def refuses(what, *options):
    """latticed must say one line and not start."""
    r = run(pathlib.Path(os.environ["LATTICE_BIN"], "latticed"), "--data", home / "other", "--no-nats", *options)
    ok(r.returncode not in (0, None) and r.stderr.strip().count("\n") <= 1 and r.stderr.startswith("lattice"), f"{what}: refused with a line", r)
    return r.stderr


ok("--insecure-http" in refuses("plain HTTP on every address", "--listen", "0.0.0.0:0"), "which names the way to insist")
refuses("plain HTTP on every IPv6 address", "--listen", "[::]:0")
refuses("a certificate without a key", "--tls-cert", home / "server.pem")
refuses("a key of another certificate", "--listen", "127.0.0.1:0", "--tls-cert", home / "server.pem", "--tls-key", home / "ca.key")
refuses("a certificate that is none", "--listen", "127.0.0.1:0", "--tls-cert", home / "server.key", "--tls-key", home / "server.key")
refuses("a certificate that is not there", "--listen", "127.0.0.1:0", "--tls-cert", home / "none", "--tls-key", home / "server.key")
d.options = ("--no-nats", "--insecure-http", "--listen", "0.0.0.0:0")
d.start()
ok(d.call("GET", "/healthz").status == 200, "who insists is served plain HTTP on every address")
ok(d.stop() == 0, "SIGTERM ends it in order")
d.done()
sys.exit(1 if control.failed else 0)
