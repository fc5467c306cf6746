#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# strace follows a client and its children; gdb runs one, and attaches to a child that waits for a server.
here=$(dirname "$0")
. "$here/lib.sh"
start web 'Serving HTTP' /usr/bin/python3 -u -m http.server --bind 127.0.0.1 8001
strace -f -o trace.out sh -c 'curl -s -o /dev/null http://127.0.0.1:8001/ && curl -s -o /dev/null http://127.0.0.1:8001/'
[ "$(grep -c 'connect(.*sin_port=htons(8001), sin_addr=inet_addr("127.0.0.1")' trace.out)" -ge 2 ]
! grep -q '+++ killed' trace.out
strace -c -o count.out curl -s -o /dev/null http://127.0.0.1:8001/
grep -q 'connect' count.out
echo "strace works"
gdb -q -batch -nx -ex 'set debuginfod enabled off' -ex 'set breakpoint pending on' -ex 'break connect' -ex run -ex bt -ex 'delete' -ex continue \
    --args curl -s -o gdb.page http://127.0.0.1:8001/ >gdb.out 2>&1 || { cat gdb.out; exit 1; }
grep -q 'Breakpoint 1, .*connect' gdb.out
grep -q 'exited normally' gdb.out
test -s gdb.page
# Attached to while accept() waits: it goes on waiting, and serves. (Yama lets nobody attach to a sibling.)
if [ "$(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null || echo 0)" = 0 ]; then
    gdb -q -batch -nx -p "${started[web]}" -ex bt -ex detach >attach.out 2>&1 || { cat attach.out; exit 1; }
    grep -qE 'detached|Detaching' attach.out
fi
curl -s -o after http://127.0.0.1:8001/
test -s after
echo "gdb works"
