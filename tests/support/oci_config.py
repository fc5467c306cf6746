#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Write an OCI runtime configuration (config.json) for one command in a container as `docker run`
makes it: an unprivileged user, no capability, namespaces, no_new_privs, a seccomp profile.

usage: oci_config.py PROFILE UID NETNS BIND,BIND… [--refuse CALL,CALL…] [--env K=V]… -- CMD ARGS…

PROFILE is a profile as Docker and podman ship it (with includes, excludes and minKernel), resolved here
for a container without capabilities on this machine. --refuse adds calls that end with EPERM."""
import argparse
import json
import os
import platform
import sys

ARCH = {"x86_64": ("amd64", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
        "aarch64": ("arm64", ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])}
EPERM = 1


def applies(rule, arch):
    """May the rule be used by a container without any capability, here?"""
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    kernel = tuple(int(n) for n in platform.release().split("-")[0].split(".")[:2])
    if includes.get("caps") or (includes.get("arches") and arch not in includes["arches"]):
        return False
    if includes.get("minKernel") and kernel < tuple(map(int, includes["minKernel"].split("."))):
        return False
    return arch not in (excludes.get("arches") or [])


def seccomp(path, refuse):
    arch, names = ARCH[platform.machine()]
    with open(path, encoding="utf-8") as file:
        profile = json.load(file)
    calls = [{"names": refuse, "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM}] if refuse else []
    for rule in profile["syscalls"]:
        if not applies(rule, arch):
            continue
        kept = {"names": [n for n in rule["names"] if n not in refuse], "action": rule["action"]}
        if rule.get("args"):
            kept["args"] = [{k: v for k, v in a.items() if k in ("index", "value", "valueTwo", "op")} for a in rule["args"]]
        if "errnoRet" in rule:
            kept["errnoRet"] = rule["errnoRet"]
        if kept["names"]:
            calls.append(kept)
    out = {"defaultAction": profile["defaultAction"], "architectures": names, "syscalls": calls}
    if "defaultErrnoRet" in profile:
        out["defaultErrnoRet"] = profile["defaultErrnoRet"]
    return out


def main():
    split = sys.argv.index("--")
    ap = argparse.ArgumentParser()
    ap.add_argument("profile")
    ap.add_argument("uid", type=int)
    ap.add_argument("netns")
    ap.add_argument("binds")
    ap.add_argument("--refuse", default="")
    ap.add_argument("--env", action="append", default=[])
    args = ap.parse_args(sys.argv[1:split])
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"},
              {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
              {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"]}]
    for path in ["/usr", "/etc"] + args.binds.split(","):
        mounts.append({"destination": path, "type": "bind", "source": path, "options": ["rbind"]})
    for link in ("/bin", "/sbin", "/lib", "/lib64"):
        if os.path.isdir(link):
            mounts.append({"destination": link, "type": "bind", "source": os.path.realpath(link), "options": ["rbind", "ro"]})
    none = {"bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": []}
    json.dump({
        "ociVersion": "1.0.2", "hostname": "box", "root": {"path": "rootfs", "readonly": False}, "mounts": mounts,
        "process": {"terminal": False, "user": {"uid": args.uid, "gid": args.uid}, "args": sys.argv[split + 1:],
                    "env": args.env, "cwd": "/", "capabilities": none, "noNewPrivileges": True},
        "linux": {"namespaces": [{"type": t} for t in ("pid", "ipc", "uts", "mount")] + [{"type": "network", "path": args.netns}],
                  "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
                  "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
                  "seccomp": seccomp(args.profile, [n for n in args.refuse.split(",") if n])},
    }, sys.stdout)


main()
