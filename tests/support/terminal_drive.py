# SPDX-License-Identifier: Apache-2.0
"""terminal_drive.py CMD...: run CMD on a terminal of its own and type at it, as a person would; prints
"ok - ..." or "not ok - ..." lines. CMD must lead to a shell (sh -i) on whatever terminal it gets."""
import os
import pty
import re
import select
import signal
import sys
import termios
import fcntl
import struct
import time

LIMIT_S = 30
failed = False
seen = b""

pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))


def check(what, good):
    global failed
    failed = failed or not good
    print(("ok - " if good else "not ok - ") + what, flush=True)


def wait_for(pattern):
    """Read until the pattern is there; what was read up to it is consumed."""
    global seen
    end = time.monotonic() + LIMIT_S
    while True:
        hit = re.search(pattern, seen)
        if hit:
            seen = seen[hit.end():]
            return hit
        if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
            return None
        try:
            data = os.read(fd, 4096)
        except OSError:
            data = b""
        if not data:
            return None
        seen += data


def ask(command, pattern):
    os.write(fd, command.encode() + b"\r")
    return wait_for(pattern)


check("a shell starts and echoes", ask("echo ready-$((40+2))", rb"ready-42") is not None)
hit = ask("tty; echo end-$((1+1))", rb"(/dev/pts/\d+)\s+end-2")
slave = os.path.basename(os.readlink("/proc/%d/fd/0" % pid)) if os.path.exists("/proc/%d/fd/0" % pid) else ""
check("its terminal is another than ours", hit is not None and hit[1].decode() != "/dev/pts/" + slave)
check("it is the controlling terminal", ask("echo x >/dev/tty && echo tty-$((2+2))", rb"tty-4") is not None)
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 99, 0, 0))
os.kill(pid, signal.SIGWINCH)
good = False
for _ in range(200):  # the new size travels through two processes
    if ask("echo size-$(stty size | tr ' ' x)-", rb"size-(\d+x\d+)-")[1] == b"44x99":
        good = True
        break
check("a new size reaches it", good)
os.write(fd, b"cat; echo after-$((3+3))\r")
os.write(fd, b"line\r")
wait_for(rb"line[\s$#]+line")  # the prompt may come in between
os.write(fd, b"\x03")
check("Ctrl-C ends the foreground job, not the shell", ask("", rb"(after-6|\^C)") is not None
      and ask("echo alive-$((4+4))", rb"alive-8") is not None)
check("job control works", ask("sleep 1000 & jobs; kill %1; echo jobs-$((5+5))",
                               rb"(?i)running[^\n]*sleep 1000[\s\S]*jobs-10") is not None)
ask("head -c 200000 /dev/zero | tr '\\0' A; echo; echo flood-$((6+6))", rb"flood-12")
os.write(fd, b"exit 7\r")
while wait_for(rb"[\s\S]+") is not None:
    pass
check("its exit status is ours", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7)
sys.exit(1 if failed else 0)
