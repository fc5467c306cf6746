# SPDX-License-Identifier: Apache-2.0
"""unix_peer.py daemon DIR NAME: listen on AF_UNIX sockets as host daemons do; a line for each visit.
unix_peer.py visit DIR NAME: knock on them, and on sockets of our own; a line for each knock."""
import os
import select
import socket
import sys

mode, directory, name = sys.argv[1:4]
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


if mode == "daemon":
    streams = [bound(stream_path), bound(abstract)]
    dgram = bound(dgram_path, socket.SOCK_DGRAM)
    print("ready", flush=True)
    visits = 0
    while True:
        for s in select.select(streams + [dgram], [], [])[0]:
            s.recv(9) if s is dgram else s.accept()[0].close()
            visits += 1
            print("visit", visits, flush=True)

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
