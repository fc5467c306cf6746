# SPDX-License-Identifier: Apache-2.0
"""files_probe.py HOME PID: try to read and to change files of HOME from the working directory, by
every way that is not a mere open; PID is a process outside whose root and directory are ours. Prints
`read|change WHAT: got|errno's text`."""
import ctypes
import os
import sys

home, pid = sys.argv[1], sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)
here = os.getcwd()
up = os.path.relpath(home, here)
canaries = [".ssh/id_ed25519", ".aws/credentials", ".netrc", ".kube/config", "other/.env"]


def attempt(kind, what, fn):
    try:
        result = fn()
        print(f"{kind} {what}: got" if result is None or b"canary" in result else f"{kind} {what}: other bytes")
    except OSError as e:
        print(f"{kind} {what}: {e.strerror}")


def read(path):
    with open(path, "rb") as f:
        return f.read()


def by_link(path):
    os.symlink(path, "a-link")
    try:
        return read("a-link")
    finally:
        os.unlink("a-link")


def by_hard_link(path):
    os.link(path, "a-hard-link")
    try:
        return read("a-hard-link")
    finally:
        os.unlink("a-hard-link")


def by_rename(path):
    os.rename(path, "a-file")
    try:
        return read("a-file")
    finally:
        os.rename("a-file", path)


def by_directory(path):
    fd = os.open(os.path.dirname(path), os.O_PATH)
    try:
        return read(f"/proc/self/fd/{fd}/{os.path.basename(path)}")
    finally:
        os.close(fd)


def by_chdir(path):
    os.chdir(os.path.dirname(path))
    try:
        return read(os.path.basename(path))
    finally:
        os.chdir(here)


for name in canaries:
    path = f"{home}/{name}"
    attempt("read", name, lambda: read(path))
    attempt("read", f"{name} by ..", lambda: read(f"{up}/{name}"))
    attempt("read", f"{name} by a link", lambda: by_link(path))
    attempt("read", f"{name} by a hard link", lambda: by_hard_link(path))
    attempt("read", f"{name} by moving it here", lambda: by_rename(path))
    attempt("read", f"{name} by /proc/self/root", lambda: read(f"/proc/self/root{path}"))
    attempt("read", f"{name} by /proc/PID/root", lambda: read(f"/proc/{pid}/root{path}"))
    attempt("read", f"{name} by /proc/PID/cwd", lambda: read(f"/proc/{pid}/cwd/{name}"))
    attempt("read", f"{name} by its directory's descriptor", lambda: by_directory(path))
    attempt("read", f"{name} by its directory", lambda: by_chdir(path))
attempt("read", "the list of .ssh", lambda: os.listdir(f"{home}/.ssh") and None)
attempt("read", "PID's environment", lambda: read(f"/proc/{pid}/environ"))


def write(path, flags=os.O_APPEND):
    fd = os.open(path, os.O_WRONLY | flags)
    os.write(fd, b"# changed\n")
    os.close(fd)


def fresh(name="a-file"):
    with open(name, "w") as f:
        f.write("# changed\n")
    return name


def truncate(path):
    if libc.truncate(path.encode(), 3) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


attempt("change", ".bashrc", lambda: write(f"{home}/.bashrc"))
attempt("change", ".bashrc by a link", lambda: (os.symlink(f"{home}/.bashrc", "b-link"), write("b-link")) and None)
attempt("change", ".bashrc by truncate", lambda: truncate(f"{home}/.bashrc"))
attempt("change", ".bashrc by O_TRUNC", lambda: os.close(os.open(f"{home}/.bashrc", os.O_RDONLY | os.O_TRUNC)))
attempt("change", ".bashrc by renaming over it", lambda: os.rename(fresh(), f"{home}/.bashrc"))
attempt("change", ".bashrc by linking over it", lambda: (os.unlink(f"{home}/.bashrc"), os.link(fresh("c-file"), f"{home}/.bashrc")) and None)
attempt("change", ".profile, which was not there", lambda: write(f"{home}/.profile", os.O_CREAT))
attempt("change", ".zshrc by a directory", lambda: os.mkdir(f"{home}/.zshrc"))
attempt("change", ".ssh/rc by a link", lambda: os.symlink("/bin/true", f"{home}/.ssh/rc"))
attempt("change", ".ssh by moving it", lambda: os.rename(f"{home}/.ssh", f"{home}/.ssh2"))
attempt("change", ".config/systemd/user", lambda: os.makedirs(f"{home}/.config/systemd/user"))
attempt("change", "other/.git/hooks/pre-commit", lambda: write(f"{home}/other/.git/hooks/pre-commit", os.O_CREAT))
attempt("change", ".netrc by removing it", lambda: os.unlink(f"{home}/.netrc"))
attempt("change", "a FIFO", lambda: os.mkfifo(f"{home}/fifo"))
