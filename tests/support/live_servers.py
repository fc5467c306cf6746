#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real servers for the live tests, on ephemeral ports that the first line of output names.

HTTP and HTTPS: GET /small (1 KiB with a canary), /bytes/N (N bytes of the stream of live_stream.py),
/whoami (the client's address); PUT or POST /upload (answers length and SHA-256);
/git/… (git http-backend). TCP and UDP echo. Each request is one line of output with the client's
address as the server sees it.
"""
import argparse
import hashlib
import http.server
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import threading

import live_stream

CANARY = "plaintext-canary-7d1f"
SMALL = (CANARY + "\n").encode() * 47
SMALL = SMALL[:1024]


def say(*words):
    sys.stdout.write(" ".join(str(w) for w in words) + "\n")
    sys.stdout.flush()


def host(address):
    return address[0].removeprefix("::ffff:")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kind = "http"
    git_root = "/nonexistent"

    def log_message(self, *_args):
        pass

    def note(self, status, count):
        say(self.kind, host(self.client_address), self.command, self.path, status, count)

    def answer(self, status, body, content_type="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.note(status, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[0] == "git":
            self.git()
        elif parts[0] == "bytes" and parts[-1].isdigit():
            count = int(parts[-1])
            self.send_response(200)
            self.send_header("Content-Length", str(count))
            self.end_headers()
            self.note(200, count)
            for block in live_stream.blocks(count):
                self.wfile.write(block)
        elif parts[0] == "small":
            self.answer(200, SMALL)
        elif parts[0] == "whoami":
            self.answer(200, (host(self.client_address) + "\n").encode())
        else:
            self.answer(404, b"no such page\n")

    do_HEAD = do_GET

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":  # RFC 9112, 7.1
            while True:
                left = int(self.rfile.readline().split(b";")[0], 16)
                is_last = left == 0
                while left > 0:
                    data = self.rfile.read(min(left, 1 << 20))
                    if not data:
                        raise ConnectionError("chunk cut short")
                    left -= len(data)
                    yield data
                if self.rfile.readline() not in (b"\r\n", b"\n"):
                    raise ConnectionError("no end of chunk")
                if is_last:
                    return
        left = int(self.headers.get("Content-Length", "0"))
        while left > 0:
            data = self.rfile.read(min(left, 1 << 20))
            if not data:
                raise ConnectionError("body cut short")
            left -= len(data)
            yield data

    def do_POST(self):
        if self.path.startswith("/git/"):
            self.git()
            return
        digest, count = hashlib.sha256(), 0
        for data in self.body():
            digest.update(data)
            count += len(data)
        self.answer(200, f"{count} {digest.hexdigest()}\n".encode())

    do_PUT = do_POST

    def git(self):
        path, _, query = self.path.partition("?")
        env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": self.git_root, "GIT_HTTP_EXPORT_ALL": "1",
               "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
               "PATH_INFO": path.removeprefix("/git"), "QUERY_STRING": query,
               "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
               "REMOTE_ADDR": host(self.client_address), "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
               "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", "")}
        data = b"".join(self.body()) if self.command == "POST" else b""
        env["CONTENT_LENGTH"] = str(len(data))
        out = subprocess.run(["git", "http-backend"], input=data, env=env, capture_output=True, check=False).stdout
        head, _, body = out.partition(b"\r\n\r\n")
        status, content_type = 200, "application/octet-stream"
        for line in head.decode().splitlines():
            key, _, value = line.partition(": ")
            if key.lower() == "status":
                status = int(value.split()[0])
            elif key.lower() == "content-type":
                content_type = value
        self.answer(status, body, content_type)


class Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    address_family = socket.AF_INET6
    allow_reuse_address = True
    request_queue_size = 256

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request, client_address):
        """In the order of arrival, before anything is read: a connection without a request shows, too."""
        say("accept", self.RequestHandlerClass.kind, host(client_address))
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        say("error", host(client_address), repr(sys.exc_info()[1]))


class TlsListener(Listener):
    context = None

    def finish_request(self, request, client_address):
        request.settimeout(30)
        self.RequestHandlerClass(self.context.wrap_socket(request, server_side=True), client_address, self)


class Echo(socketserver.BaseRequestHandler):
    kind = "tcp-echo"

    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        count = 0
        while data := self.request.recv(65536):
            count += len(data)
            self.request.sendall(data)
        say("tcp-echo", host(self.client_address), "closed", count)


def udp_echo(sock):
    while True:
        data, peer = sock.recvfrom(65536)
        say("udp-echo", host(peer), len(data))
        sock.sendto(data, peer)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--listen", default="::")
    ap.add_argument("--cert")
    ap.add_argument("--key")
    ap.add_argument("--git", default="/nonexistent")
    args = ap.parse_args()
    Handler.git_root = args.git
    plain = Listener((args.listen, 0), Handler)
    echo = Listener((args.listen, 0), Echo)
    servers = [plain, echo]
    ports = {"http_port": plain, "tcp_port": echo}
    if args.cert:
        TlsListener.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        TlsListener.context.load_cert_chain(args.cert, args.key)
        tls = TlsListener((args.listen, 0), type("TlsHandler", (Handler,), {"kind": "https"}))
        servers.append(tls)
        ports["https_port"] = tls
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp.bind((args.listen, 0))
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=udp_echo, args=(udp,), daemon=True).start()
    words = [f"{name}={server.server_address[1]}" for name, server in ports.items()]
    say("ready", *words, f"udp_port={udp.getsockname()[1]}")
    plain.serve_forever()


main()
