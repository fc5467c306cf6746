#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A web site for the story, on a free port: / is a line of text, /endless never ends.
Prints where it is. Usage: web.py ADDRESS TEXT"""
import http.server
import sys
import threading


class Site(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_args):
        pass

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(sys.argv[2].encode() + b"\n")
        try:
            while self.path == "/endless":
                self.wfile.write(b"more\n" * 100)
                self.wfile.flush()
                threading.Event().wait(0.05)
        except OSError:
            pass  # the reader has gone


server = http.server.ThreadingHTTPServer((sys.argv[1], 0), Site)
print("%s:%d" % server.server_address[:2], flush=True)
server.serve_forever()
