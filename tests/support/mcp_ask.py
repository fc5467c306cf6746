# SPDX-License-Identifier: Apache-2.0
"""An MCP client for tests: reads requests from standard input, one a line, and sends each to the stdio
server of its command line when the one before was answered. Prints the answers."""
import json
import subprocess
import sys

server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
for line in sys.stdin.buffer:
    server.stdin.write(line)
    server.stdin.flush()
    if "id" not in json.loads(line):
        continue
    answer = server.stdout.readline()
    if not answer:
        break
    sys.stdout.buffer.write(answer)
server.stdin.close()
sys.stdout.buffer.write(server.stdout.read())
sys.exit(server.wait())
