#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ordinary Python network clients: client.py HOW URL [CA] prints what the server sent.

HOW: urllib, http (http.client), asyncio (streams), ssl (plain ssl over socket)."""
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


def main():
    how, text = sys.argv[1:3]
    tls = context(sys.argv[3] if len(sys.argv) > 3 else None)
    reply = {"urllib": by_urllib, "http": by_http, "asyncio": by_asyncio, "ssl": by_ssl}[how](
        text, urllib.parse.urlsplit(text), tls)
    sys.stdout.buffer.write(reply)


main()
