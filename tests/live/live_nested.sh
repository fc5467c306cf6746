#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise (A11): inside a sandbox a program may add filters of its own, which only tighten; a second listener, and so a
# sandbox inside a sandbox, is refused with the reason, and neither harms the sandbox around it. Natively each works: the
# control. With LATTICE_LONG=1 and the kernel's sources at hand (package linux-source-6.1), its own tests of seccomp run
# natively and inside, and what passes is compared.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

d=$live_dir/tmp
ip link set lo up
inside() { live_user client "$LATTICE" sandbox start --offline --audit-log "$d/records" -- "$@"; }
cat >"$d/filters.py" <<'EOF'
# uname(2) shall fail with errno 99; then a listener; then the network must still be there.
import ctypes, errno, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
class Filter(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("program", ctypes.c_void_p)]
def op(code, jt, jf, k):
    return struct.pack("HBBI", code, jt, jf, k)
program = ctypes.create_string_buffer(op(0x20, 0, 0, 0) + op(0x15, 0, 1, 63) + op(6, 0, 0, 0x00050000 | 99) + op(6, 0, 0, 0x7fff0000))
filter_ = Filter(4, ctypes.addressof(program))
def call(*args):
    got = libc.syscall(*args)
    return "ok" if got >= 0 else errno.errorcode.get(ctypes.get_errno(), ctypes.get_errno())
libc.prctl(38, 1, 0, 0, 0) # no_new_privs
print("before", call(63, ctypes.create_string_buffer(512)))
print("filter", call(317, 1, 0, ctypes.byref(filter_)))
print("after", call(63, ctypes.create_string_buffer(512)))
print("listener", call(317, 1, 8, ctypes.byref(filter_)))
here = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(here.getsockname())
print("network", "ok" if c.getpeername() == here.getsockname() else "?")
EOF
live_user client /usr/bin/python3 "$d/filters.py" >"$live_dir/native" 2>&1
equal "natively a program adds a filter and a listener" "before ok,filter ok,after EADDRNOTAVAIL,listener ok,network ok" "$(paste -sd, "$live_dir/native")"
inside /usr/bin/python3 "$d/filters.py" >"$live_dir/out" 2>&1
equal "inside it adds the filter, no listener, and its network goes on" \
    "before ok,filter ok,after EADDRNOTAVAIL,listener EBUSY,network ok" "$(paste -sd, "$live_dir/out")"

live_user client "$LATTICE" sandbox start --offline --audit-log "$d/inner" -- sh -c 'echo runs' >"$live_dir/out" 2>&1
contains "control: outside, that sandbox starts" '^runs$' "$live_dir/out"
inside sh -c '"$@"; echo status $?' sh "$LATTICE" sandbox start --offline --audit-log "$d/inner" -- sh -c 'echo runs' >"$live_dir/out" 2>&1
contains "a sandbox inside a sandbox does not start" '^status 125$' "$live_dir/out"
contains "and says why, and what to do" 'a supervisor already listens.*start lattice outside of it' "$live_dir/out"
lacks "before its program runs" '^runs$' "$live_dir/out"
contains "doctor says the same inside" 'start lattice outside' <(inside "$LATTICE" doctor 2>&1)

# A tracer that leaves a call out gives its result, also where the call's number alone would be refused.
injected() { "$@" strace -qq -e trace=getppid -e inject=getppid:retval=77 /usr/bin/python3 -c 'import os; print("parent", os.getppid())' 2>/dev/null; }
if command -v strace >/dev/null && [ "$(injected live_user client)" = "parent 77" ]; then
    equal "a tracer inside can answer a call itself, as natively" "parent 77" "$(injected inside)"
fi

archive=$(ls "$LATTICE_SOURCE"/build/unpacked/usr/src/linux-source-*.tar.xz /usr/src/linux-source-*.tar.xz 2>/dev/null | head -n 1)
if [ -n "${LATTICE_LONG:-}" ] && [ -z "$archive" ]; then
    live_skip "the kernel's own tests of seccomp" "package linux-source-6.1 is missing (tools/setup --long)"
elif [ -n "${LATTICE_LONG:-}" ]; then
    tar -C "$live_dir" -xf "$archive" --wildcards '*/tools/testing/selftests/seccomp/seccomp_bpf.c' '*/tools/testing/selftests/kselftest*.h' '*/tools/testing/selftests/clone3/clone3_selftests.h'
    exceptions=$LATTICE_SOURCE/tests/cases/seccomp_selftest_exceptions.tsv
    tests=$(echo "$live_dir"/linux-source-*/tools/testing/selftests)
    check "the kernel's tests of seccomp build" gcc -O2 -w -D_GNU_SOURCE -I "$tests/.." -I "$tests" "$tests/seccomp/seccomp_bpf.c" \
        -o "$d/seccomp_bpf" -lpthread -lcap
    LIVE_LIMIT_S=200 live_user client "$d/seccomp_bpf" 2>&1 | grep -aoE '^ok +[0-9]+ [^ ]+' | awk '{print $3}' | grep -v '#' | sort >"$live_dir/native"
    LIVE_LIMIT_S=200 inside "$d/seccomp_bpf" 2>&1 | grep -aoE '^ok +[0-9]+ [^ ]+' | awk '{print $3}' | grep -v '#' | sort >"$live_dir/out"
    sed 's/^/# only natively: /' <(comm -23 "$live_dir/native" "$live_dir/out")
    check "natively many of the kernel's tests pass ($(wc -l <"$live_dir/native"))" test "$(wc -l <"$live_dir/native")" -gt 40
    equal "inside, those pass, too, but for tests/cases/seccomp_selftest_exceptions.tsv" "" \
        "$(comm -23 "$live_dir/native" "$live_dir/out" | grep -vEf <(grep -v '^#' "$exceptions" | cut -f 1))"
    equal "every exception is still one" "" "$(grep -v '^#' "$exceptions" | cut -f 1 | while read -r pattern; do
        comm -23 "$live_dir/native" "$live_dir/out" | grep -qE "$pattern" || echo "$pattern"
    done)"
fi
live_done
