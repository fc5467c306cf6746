#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ordinary Python network clients; each prints what the server sent.

client.py HOW URL [CA]           HOW: urllib, http (http.client), asyncio (streams), ssl
client.py HOW HOST PORT TEXT     HOW: tcp, udp (connected), udp-sendto: one exchange with an echo
"""
import asyncio
import http.client
import socket
import ssl
import sys
import urllib.parse
import urllib.request


def context(ca):
    return ssl.create_default_context(cafile=ca) if ca else None


def request(url):
    return f"GET {url.path} HTTP/1.0\r\nHost: {url.netloc}\r\n\r\n".encode()


def by_urllib(text, _url, tls):
    with urllib.request.urlopen(text, timeout=30, context=tls) as reply:
        return reply.read()


def by_http(_text, url, tls):
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    connection = kind(url.hostname, url.port, timeout=30, **({"context": tls} if tls else {}))
    connection.request("GET", url.path)
    return connection.getresponse().read()


def by_asyncio(_text, url, tls):
    async def fetch():
        reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=tls)
        writer.write(request(url))
        await writer.drain()
        reply = await reader.read()
        writer.close()
        await writer.wait_closed()
        return reply.partition(b"\r\n\r\n")[2]

    return asyncio.run(asyncio.wait_for(fetch(), 30))


def by_ssl(_text, url, tls):
    with socket.create_connection((url.hostname, url.port), timeout=30) as plain:
        with tls.wrap_socket(plain, server_hostname=url.hostname) as sock:
            sock.sendall(request(url))
            reply = b""
            while data := sock.recv(65536):
                reply += data
    return reply.partition(b"\r\n\r\n")[2]


def echo_tcp(address, data):
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        reply = b""
        while part := sock.recv(65536):
            reply += part
    return reply


def echo_udp(address, data, connected=True):
    family = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0][0]
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        if connected:
            sock.connect(address)
            sock.send(data)
            reply = sock.recv(65536)
            if reply != data:
                raise OSError(f"no echo but {len(reply)} bytes")
            return reply
        sock.sendto(data, address)
        reply, peer = sock.recvfrom(65536)
        if peer[:2] != address:
            raise OSError(f"answer from {peer}, expected {address}")
        return reply


def echo(how, address, data):
    if how == "tcp":
        return echo_tcp(address, data)
    return echo_udp(address, data, connected=how == "udp")


def main():
    if sys.argv[1] in ("tcp", "udp", "udp-sendto"):
        reply = echo(sys.argv[1], (sys.argv[2], int(sys.argv[3])), sys.argv[4].encode())
        sys.stdout.buffer.write(reply)
        return
    how, text = sys.argv[1:3]
    tls = context(sys.argv[3] if len(sys.argv) > 3 else None)
    reply = {"urllib": by_urllib, "http": by_http, "asyncio": by_asyncio, "ssl": by_ssl}[how](
        text, urllib.parse.urlsplit(text), tls)
    sys.stdout.buffer.write(reply)


main()
