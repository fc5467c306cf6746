# SPDX-License-Identifier: Apache-2.0
"""names_probe.py: try to get something of ours to every name in the working directory that programs
outside believe, by each way. Prints `WAY NAME: got|errno's text`; what was changed stays changed."""
import os
import shutil

NAMES = [".git/hooks", ".git/config", ".git/commondir", ".vscode", ".idea", ".mcp.json", ".claude", ".cursor", ".envrc"]


def attempt(way, name, fn):
    try:
        fn()
        print(f"{way} {name}: got")
    except OSError as e:
        print(f"{way} {name}: {e.strerror}")


def write(path, flags=0):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o755)
    os.write(fd, b"evil\n")
    os.close(fd)


def file(name="a-file"):
    write(name)
    return name


def directory(name="a-dir"):
    os.makedirs(name, exist_ok=True)
    write(f"{name}/evil")
    return name


def replace(name, make):
    if os.path.isdir(name) and not os.path.islink(name):
        os.rename(name, f"was{name.replace('/', '-')}")
    elif os.path.lexists(name):
        os.unlink(name)
    make()


for n in NAMES:
    attempt("write to", n, lambda: write(f"{n}/evil" if os.path.isdir(n) else n))
    attempt("append by descriptor to", n, lambda: write(f"{n}/evil2" if os.path.isdir(n) else n, os.O_APPEND))
    attempt("rename a file over", n, lambda: os.rename(file(), n))
    attempt("rename a directory over", n, lambda: os.rename(directory(), n))
    attempt("move away", n, lambda: os.rename(n, "moved" + n.replace("/", "-")))
    attempt("remove", n, lambda: shutil.rmtree(n) if os.path.isdir(n) else os.unlink(n))
    attempt("make a directory instead of", n, lambda: replace(n, lambda: os.mkdir(n)))
    attempt("link instead of", n, lambda: replace(n, lambda: os.symlink(directory(), n)))
    attempt("hard link instead of", n, lambda: replace(n, lambda: os.link(file(), n)))
    attempt("change the mode of", n, lambda: os.chmod(n, 0o777, follow_symlinks=True))
attempt("move away", ".git", lambda: os.rename(".git", "moved-git"))
attempt("link instead of", ".git", lambda: (os.rename(directory("other-git"), ".git")))
here = os.getcwd()
above = os.path.dirname(here)
attempt("move away", "the directory above", lambda: (os.rename(above, above + "-moved"), os.makedirs(here)))
attempt("move away", "the workspace", lambda: (os.rename(here, here + "-moved"), os.mkdir(here)))
