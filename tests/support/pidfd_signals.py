# SPDX-License-Identifier: Apache-2.0
"""pidfd_signals.py [NAME…]: pidfd_send_signal(2) and signals by the readiness of a descriptor as programs use
them, one line a result: WHAT, tab, what came of it. Each NAME ("parent", "grandparent") is tried, too.
Runs natively and in a sandbox: but for these the lines are the same."""
import ctypes, errno, fcntl, os, signal, socket, struct, sys

FIOSETOWN = 0x8901

SYS_PIDFD_SEND_SIGNAL = 424
libc = ctypes.CDLL(None, use_errno=True)
USR = signal.SIGUSR1


def say(what, outcome):
    print(what, outcome, sep="\t", flush=True)


def send(fd, number, info=None, flags=0):
    got = libc.syscall(ctypes.c_long(SYS_PIDFD_SEND_SIGNAL), ctypes.c_long(fd), ctypes.c_long(number), info, ctypes.c_long(flags))
    return "0" if got == 0 else errno.errorcode[ctypes.get_errno()]


def attempt(call):
    try:
        call()
    except OSError as e:
        return errno.errorcode[e.errno]
    return "0"


def own(fd, pid):
    return attempt(lambda: fcntl.fcntl(fd, fcntl.F_SETOWN, pid))


def own_by_ioctl(sock, pid):
    return attempt(lambda: fcntl.ioctl(sock, FIOSETOWN, struct.pack("i", pid)))


def siginfo(number, code, value=0):
    words = (ctypes.c_int * 32)()  # signo, errno, code, -, pid, uid, value
    words[0], words[2], words[4], words[5], words[6] = number, code, 1, 0, value
    return words


def child():
    """A process that waits for one signal and ends with whether it knows its sender; its number, a pidfd."""
    ready, tell = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        signal.pthread_sigmask(signal.SIG_BLOCK, [USR, signal.SIGTERM])
        os.write(tell, b".")
        seen = signal.sigwaitinfo([USR])
        os._exit(0 if (seen.si_pid, seen.si_uid) == (parent, os.getuid()) else 1)
    os.close(tell)
    os.read(ready, 1)
    os.close(ready)
    return pid, os.pidfd_open(pid)


def ends(what, pid, fd):
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    say(what + ": the process", "knows who sent it" if status == 0 else f"ended with {status}")
    say(what + ": once more, when it is gone", send(fd, 0))


def directory(pid, flags=os.O_RDONLY):
    return os.open(f"/proc/{pid}", flags | os.O_DIRECTORY)


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


def main():
    pid, fd = child()
    say("no signal, only whether it is there", send(fd, 0))
    say("a number that is no signal", send(fd, 200))
    say("a flag that is none", send(fd, USR, None, 1 << 20))
    say("a siginfo of another signal", send(fd, USR, siginfo(signal.SIGTERM, -1)))
    say("a siginfo that only the kernel may send", send(fd, USR, siginfo(USR, 0)))
    say("a siginfo where nothing is", send(fd, USR, ctypes.c_void_p(8)))
    say("a pidfd", send(fd, USR))
    ends("a pidfd", pid, fd)
    pid, fd = child()
    say("a directory", send(directory(pid), USR))
    ends("a directory", pid, fd)
    pid, fd = child()
    say("a directory by O_PATH", send(directory(pid, os.O_PATH), USR))
    say("a thread's directory", send(os.open(f"/proc/{pid}/task/{pid}", os.O_RDONLY), USR))
    say("SIGKILL", send(fd, signal.SIGKILL))
    ends("SIGKILL", pid, fd)
    for what, other in (("/proc", os.open("/proc", os.O_RDONLY)), ("a directory of none", os.open("/", os.O_RDONLY)),
                        ("a pipe", os.pipe()[0]), ("a number of no descriptor", 999), ("the number -1", -1)):
        say(what, send(other, 0))
    pid, fd = child()
    owned = os.pipe()
    fcntl.fcntl(owned[0], fcntl.F_SETSIG, signal.SIGKILL)
    say("a pipe's owner", own(owned[0], pid))
    fcntl.fcntl(owned[0], fcntl.F_SETFL, os.O_ASYNC)
    os.write(owned[1], b".")
    ends("a pipe's owner", pid, fd)
    plain = os.pipe()[0]
    sock = socket.socketpair()[0]
    outcome = own_by_ioctl(sock, os.getpid())
    say("own a socket by ioctl", outcome if fcntl.fcntl(sock, fcntl.F_GETOWN) == os.getpid() else "not done")
    seen = []
    signal.signal(USR, lambda *_: seen.append(1))
    signal.siginterrupt(USR, False)
    say("to oneself", send(os.pidfd_open(os.getpid()), USR))
    say("to oneself: handlers that ran", len(seen))
    queued = siginfo(USR, -1, 77)
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR])
    say("to oneself, queued", send(os.pidfd_open(os.getpid()), USR, queued))
    say("to oneself, queued: its code", signal.sigtimedwait([USR], 5).si_code)
    names = {"parent": os.getppid(), "grandparent": parent_of(os.getppid())}
    for name in sys.argv[1:]:
        pid = names[name]
        say(f"guarded {name}", send(directory(pid), 0))
        say(f"owner {name}", own(plain, pid))
        say(f"owner {name}, by ioctl", own_by_ioctl(sock, pid))
        say(f"owner {name}'s group, by ioctl", own_by_ioctl(sock, -pid))


main()
