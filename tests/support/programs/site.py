#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""site.py ROOT URL: what the web programs fetch. A page with a script, a large file, an npm registry
(/npm) and a Python package index (/pip), as files that any web server can serve; URL is how it is called."""
import base64
import hashlib
import io
import json
import os
import sys
import tarfile
import zipfile

root, url = sys.argv[1:]
PACKAGES = 20


def write(path, data):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def tarball(name, files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for path, text in files.items():
            info = tarfile.TarInfo("package/" + path)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def npm():
    """demo depends on lib-0 … lib-19; each has one version, and a packument that leads to it."""
    libs = {f"lib-{n}": "1.0.0" for n in range(PACKAGES)}
    all_packages = {name: {} for name in libs} | {"demo": libs}
    locked = {"": {"name": "project", "version": "1.0.0", "dependencies": {"demo": "1.0.0"}}}
    for name, needs in all_packages.items():
        about = {"name": name, "version": "1.0.0", "main": "index.js", "dependencies": needs}
        code = f"module.exports = 'canary-of-{name}';\n"
        if needs:
            code = "module.exports = " + " + ".join(f"require('{n}').length" for n in needs) + ";\n"
        blob = tarball(name, {"package.json": json.dumps(about), "index.js": code})
        at = f"npm/{name}/-/{name}-1.0.0.tgz"
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(blob).digest()).decode()
        write(at, blob)
        about["dist"] = {"tarball": f"{url}/{at}", "integrity": integrity,
                         "shasum": hashlib.sha1(blob).hexdigest()}
        write(f"npm/{name}/index.json", json.dumps(
            {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": about}}))
        locked[f"node_modules/{name}"] = {
            "version": "1.0.0", "resolved": f"{url}/{at}", "integrity": integrity,
            **({"dependencies": needs} if needs else {})}
    write("project/package.json", json.dumps(locked[""]))
    write("project/package-lock.json", json.dumps(
        {"name": "project", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": locked}))


def wheel(name, needs):
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}/__init__.py": f"CANARY = 'canary-of-{name}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
                            + "".join(f"Requires-Dist: {n}\n" for n in needs),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in files) + f"{info}/RECORD,,\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    file = f"{name}-1.0-py3-none-any.whl"
    write(f"pip/files/{file}", out.getvalue())
    write(f"pip/simple/{name}/index.html", f'<html><body><a href="../../files/{file}">{file}</a></body></html>')


npm()
wheel("demo", ["demodep"])
wheel("demodep", [])
write("small.json", json.dumps({"canary": "canary-of-fetch"}))
write("large", b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(250_000)))
write("index.html", """<html><body><p id="out">not yet</p><script>
// One after the other: a browser in virtual time waits for ever for requests that queue for a connection.
(async () => {
    const first = await (await fetch('/small.json')).json();
    const second = await (await fetch('/proxy/small.json')).json();
    let sum = 0;
    for (let n = 0; n < 4; n++)
        sum += (await (await fetch('/large?' + n)).arrayBuffer()).byteLength;
    document.getElementById('out').textContent = `${first.canary} ${second.canary} ${sum} bytes`;
})().catch(err => { document.getElementById('out').textContent = String(err); });
</script></body></html>
""")
