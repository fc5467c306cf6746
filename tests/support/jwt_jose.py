# SPDX-License-Identifier: Apache-2.0
"""Starts a latticed, enrols an agent, and lets jwt_jose.mjs do the talking about tokens."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import control
from control import Latticed, ok

d = Latticed("--no-nats")
bot = d.enrol("bot", allowedTools=["list_peers"])
env = dict(os.environ, LATTICE_URL=f"http://127.0.0.1:{d.port}", LATTICE_JWT=bot["jwt"], LATTICE_KEY_FILE=str(d.dir / "data/signing-key.pem"))
script = pathlib.Path(__file__).resolve().with_name("jwt_jose.mjs")
done = subprocess.run([sys.argv[1], str(script)], env=env, timeout=120)
ok(done.returncode == 0, "jose's side ended well")
ok("lattice_http_failed_total 0" in d.call("GET", "/metrics").body.decode(), "no answer was a 5xx")
d.stop()
d.done()
sys.exit(1 if control.failed else 0)
