# SPDX-License-Identifier: Apache-2.0
"""unix_peer.py daemon DIR NAME: listen on AF_UNIX sockets as host daemons do; a line for each visit.
unix_peer.py visit DIR NAME: knock on them, and on sockets of our own; a line for each knock.
unix_peer.py knock DIR ADDRESS…: knock on each stream (@NAME: abstract), or datagram socket (=PATH).
unix_peer.py rights DIR PATH: ask a daemon for descriptors, and say what came.
unix_peer.py giver DIR PATH: the other way round: call PATH and offer descriptors.
unix_peer.py taker DIR PATH: wait at PATH for one who calls and offers descriptors."""
import array
import os
import select
import socket
import sys

mode, directory, name = sys.argv[1:4]
rest = sys.argv[3:]
stream_path, dgram_path = directory + "/host.sock", directory + "/host.dgram"
abstract = "\0" + name


def bound(address, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_UNIX, kind)
    s.bind(address)
    if kind == socket.SOCK_STREAM:
        s.listen()
    return s


def knock(what, address, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as s:
        try:
            if kind == socket.SOCK_STREAM:
                s.connect(address)
            else:
                s.sendto(b"x", address)
            print(what, "ok", flush=True)
        except OSError as e:
            print(what, e.strerror, flush=True)


def offer(s):
    """An Internet socket between two harmless files."""
    pipe = os.pipe()
    inet = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    unix = socket.socketpair()
    fds = array.array("i", [pipe[0], inet.fileno(), unix[0].fileno()])
    s.sendmsg([b"r"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    for fd in pipe:
        os.close(fd)


def kind_of(fd):
    try:
        s = socket.socket(fileno=os.dup(fd))
    except OSError:
        return "file"
    return s.family.name


def take(s):
    data, control, flags, _ = s.recvmsg(9, socket.CMSG_SPACE(64))
    fds = array.array("i")
    for level, kind, payload in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload)
    print("rights", data.decode(), ",".join(kind_of(fd) for fd in fds), "cut" if flags & socket.MSG_CTRUNC else "whole", flush=True)


if mode == "knock":
    for address in rest:
        if address[0] == "=":
            knock(address, address[1:], socket.SOCK_DGRAM)
        else:
            knock(address, "\0" + address[1:] if address[0] == "@" else address)
    sys.exit()
if mode in ("rights", "giver"):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(rest[0])
        take(s) if mode == "rights" else offer(s)
        if mode == "giver":
            s.recv(1)  # until it was taken
    sys.exit()
if mode == "taker":
    listener = bound(rest[0])
    print("taking", flush=True)
    connection = listener.accept()[0]
    take(connection)
    sys.exit()
if mode == "daemon":
    rights = bound(directory + "/host.rights")
    streams = [bound(stream_path), bound(abstract), rights]
    dgram = bound(dgram_path, socket.SOCK_DGRAM)
    print("ready", flush=True)
    visits = fences = 0
    while True:
        for s in select.select(streams + [dgram], [], [])[0]:
            if s is dgram:
                s.recv(9)
            else:
                connection = s.accept()[0]
                if s is rights:
                    offer(connection)
                    fences += 1
                connection.close()
            visits += 1
            print("visit", visits, flush=True)
            if s is rights:
                print("fence", fences, flush=True)

os.chdir(directory)
knock("host-path", stream_path)
knock("host-relative", "host.sock")
knock("host-abstract", abstract)
knock("host-dgram", dgram_path, socket.SOCK_DGRAM)
os.symlink(stream_path, "link")
knock("host-link", "link")
os.unlink("link")
own = bound(directory + "/own.sock")
knock("own-path", directory + "/own.sock")
knock("own-relative", "own.sock")
own_abstract = bound("\0own" + str(os.getpid()))
knock("own-abstract", "\0own" + str(os.getpid()))
own_dgram = bound(directory + "/own.dgram", socket.SOCK_DGRAM)
knock("own-dgram", directory + "/own.dgram", socket.SOCK_DGRAM)
knock("missing", directory + "/missing")
# A message with a name and a descriptor: outside it arrives, inside it is refused.
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    try:
        s.sendmsg([b"y"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, (0).to_bytes(4, sys.byteorder))], 0, directory + "/own.dgram")
        print("rights passed", flush=True)
    except OSError as e:
        print("rights", e.strerror, flush=True)
# An answer to the sender's name: bound, it must be seen or the message must not arrive at all.
named = bound(directory + "/own.named", socket.SOCK_DGRAM)
try:
    named.sendto(b"n", directory + "/own.dgram")
    own_dgram.setblocking(False)
    sources = []
    while not sources or sources[-1][0] != b"n":
        sources.append(own_dgram.recvfrom(9))
    print("name", "seen" if sources[-1][1] == directory + "/own.named" else "lost", flush=True)
except OSError as e:
    print("name", e.strerror, flush=True)
for entry in ("own.sock", "own.dgram", "own.named"):
    os.unlink(entry)
