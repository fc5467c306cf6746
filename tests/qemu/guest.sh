#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs as root in a virtual machine that tests/qemu/boot made: the sandbox on this kernel with each setting
# of Yama, with the x32 ABI on, and without user namespaces. Prints TAP. Yama 3 comes last: nothing lowers it.
set -uo pipefail
uid=${LATTICE_TEST_UID:-1000}
user=(setpriv --reuid="$uid" --regid="$uid" --clear-groups --no-new-privs env HOME=/tmp/home TMPDIR=/tmp)
export LATTICE_SLOW=20 CK_TIMEOUT_MULTIPLIER=5 LIVE_WAIT_S=120 # an emulated machine
dmesg -n 1
lattice=$LATTICE_BIN/lattice
yama=/proc/sys/kernel/yama/ptrace_scope
out=/tmp/out
case "$LATTICE_SOURCE" in
/tmp/*) ;;
*) mount -t tmpfs -o mode=1777 none /tmp ;; # as most machines have it: sockets are made here
esac
mkdir -p /tmp/home
chown "$uid:$uid" /tmp/home
dir=$LATTICE_SOURCE
while [ "$dir" != / ]; do # of this machine's own layer
    dir=$(dirname "$dir")
    chmod a+x "$dir" 2>/dev/null
done
failed=0
echo # after what the firmware wrote

judge() { # WHAT STATUS
    if [ "$2" -eq 0 ]; then
        echo "ok - $where: $1"
    else
        echo "not ok - $where: $1"
        tail -n "${3:-25}" $out | sed 's/^/#   /'
        failed=1
    fi
}
# has WHAT REGEX: in what the last command said
has() {
    grep -qE -e "$2" $out
    judge "$1" $?
}
start() {
    "${user[@]}" "$lattice" sandbox start --offline --audit-log /tmp/home/records -- "$@" >$out 2>&1
}
is_at_least() { # VERSION: of this kernel
    [ "$(printf '%s\n' "$1" "$LATTICE_QEMU" | sort -V | head -n 1)" = "$1" ]
}
# tap WHAT CMD…: a program that prints results of its own: all must be good, and there must be some
tap() {
    local what=$1 status
    shift
    SECONDS=0
    "$@" >$out 2>&1
    status=$?
    [ $status -ne 0 ] || { ! grep -q '^not ok' $out && grep -qE '^ok|^100%' $out; } || status=1
    judge "$what ($SECONDS s)" $status
}

doctor() {
    local wakes='✓'
    "${user[@]}" "$lattice" doctor >$out 2>&1
    judge "doctor says that the sandbox can run" $?
    is_at_least 6.6 || wakes='!'
    has "doctor names the wake-up of this kernel ($wakes)" "^ *$wakes synchronous wake-up"
    has "doctor names Landlock's version" "✓ Landlock +ABI $(is_at_least 6.12 && echo 6 || echo 2)"
    has "doctor names Yama's setting" "✓ Yama +kernel.yama.ptrace_scope is $(cat $yama)"
}

# The x32 ABI: calls with bit 30 set work natively (positive control), and none inside.
x32='import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    got = libc.syscall(*(ctypes.c_long(a) for a in args))
    return got if got >= 0 else -ctypes.get_errno()
pid, fd = call(0x40000000 | 39), call(0x40000000 | 41, 2, 1, 0)
print("getpid", "works" if pid == os.getpid() else pid, "socket", "works" if fd >= 0 else fd)'

in_depth() {
    "${user[@]}" /usr/bin/python3 -c "$x32" >$out 2>&1
    has "positive control: natively the x32 calls work" '^getpid works socket works$'
    start /usr/bin/python3 -c "$x32"
    has "inside the x32 calls do not exist (ENOSYS)" '^getpid -38 socket -38$'
    start sh -c 'i=0; while [ $i -lt 200 ]; do /bin/true || exit 1; i=$((i + 1)); done; echo all 200'
    has "200 programs in quick succession run (A15)" '^all 200$'
    tap "every call as in the golden table (B8)" "${user[@]}" "$LATTICE_HELPERS/unit.sandbox.test_filter"
    tap "trapped calls against this kernel" "${user[@]}" "$LATTICE_HELPERS/live.live_interception"
}

# What no rule allows does not arrive at a server of this machine; with the rule it does.
no_rule() {
    local pid url=http://127.0.0.1:8099/page
    "${user[@]}" /usr/bin/python3 -u -m http.server --directory /tmp/home --bind 127.0.0.1 8099 >/tmp/server 2>&1 &
    pid=$!
    echo page >/tmp/home/page
    timeout 60 grep -q -m1 Serving <(tail -f -s 0.2 -n +1 --pid=$pid /tmp/server)
    start_direct --allow 127.0.0.1:8099 -- curl -sS $url
    has "positive control: with a rule the page is read" '^page$'
    grep -q 'GET /page' /tmp/server
    judge "positive control: … and the server saw it" $?
    : >/tmp/server
    start_direct -- curl -sS $url
    [ $? -eq 7 ]
    judge "without a rule the connection is refused" $?
    "${user[@]}" curl -sS http://127.0.0.1:8099/fence >$out 2>&1
    grep -q 'GET /fence' /tmp/server && ! grep -q 'GET /page' /tmp/server
    judge "… and the server saw the fence only" $?
    kill $pid
}
start_direct() {
    "${user[@]}" "$lattice" sandbox start --direct --audit-log /tmp/home/records "$@" >$out 2>&1
}

# same WHAT REGEX CMD…: natively and inside CMD ends with 0 and says REGEX. It finds an empty directory in $DIR.
same() {
    local what=$1 regex=$2 place
    shift 2
    for place in natively inside; do
        local box=()
        [ $place = natively ] || box=("$lattice" sandbox start --offline --audit-log /tmp/home/records --)
        rm -rf /tmp/run
        mkdir /tmp/run
        chown "$uid:$uid" /tmp/run
        SECONDS=0
        (cd /tmp && timeout -k 5 300 "${user[@]}" env DIR=/tmp/run "${box[@]}" "$@" >$out 2>&1 </dev/null) && grep -qE -e "$regex" $out
        judge "$what, $place ($SECONDS s)" $?
    done
}
# CPython's own suites, and programs that are client and server at once, on one loopback.
programs() {
    local own=$LATTICE_SOURCE/tests/support/programs python=(/usr/bin/python3.11 -m test --timeout 280)
    local unpacked=$LATTICE_SOURCE/build/unpacked/usr
    export PATH=$unpacked/bin:$unpacked/sbin:$PATH
    ip link set lo up
    same "CPython's test_select and test_epoll" 'Tests? result: SUCCESS' "${python[@]}" test_select test_epoll
    same "CPython's test_socket, the basic classes" 'Tests? result: SUCCESS' "${python[@]}" -m 'Basic*' -m 'NonBlocking*' \
        -m 'UDPTimeout*' -m 'TCPTimeout*' -m 'SendrecvmsgUDP*' -m 'RecvmsgTCP*' -m 'SendmsgTCP*' -m 'RecvmsgSCMRights*' test_socket
    same "curl, wget, python, node, git" '^everyday works' bash "$own/everyday.sh"
    grep -v "^[^:]*:[^:]*:$uid:" /etc/passwd >/tmp/passwd
    echo "tester:x:$uid:$uid:tester:/tmp/home:/bin/sh" >>/tmp/passwd
    mount --bind /tmp/passwd /etc/passwd
    same "sshd and ssh" '^ssh works' bash "$own/ssh_home.sh"
    same "redis" '^redis works' bash "$own/redis.sh" 127.0.0.1 6380 own
    same "socat, ncat, nc" '^socat works' bash "$own/socat.sh" 127.0.0.1 7001 own 10
    (
        . "$LATTICE_SOURCE/tests/support/live.sh"
        live_dir=/tmp/world
        live_ca
    )
    same "nginx and curl" '^nginx works' bash "$own/nginx_small.sh" /tmp/world/ca
}
# One program's calls, line for line (tests/differ): a choice.
differential() {
    local cases='tcp_states tcp_epoll_edges tcp_reset_by_peer loopback_half_close loopback_names udp_errors udp_ancillary4'
    SECONDS=0
    (cd /tmp && DIFFER_CASES=$cases DIFFER_BOXES=none LIVE_LIMIT_S=300 bash "$LATTICE_SOURCE/tests/live/live_differential.sh" >$out 2>&1)
    judge "the differential: $(grep -c '^ok' $out) cases ($SECONDS s)" $?
}

where="$LATTICE_QEMU, Yama 0"
echo 0 >$yama
doctor
in_depth
no_rule

where="$LATTICE_QEMU, Yama 1"
echo 1 >$yama
doctor
in_depth
no_rule
differential
programs
if [ -e /proc/sys/kernel/unprivileged_userns_clone ]; then
    where="$where, no user namespaces"
    echo 0 >/proc/sys/kernel/unprivileged_userns_clone
    "${user[@]}" unshare -U true >$out 2>&1
    [ $? -ne 0 ]
    judge "positive control: unshare -U is refused" $?
    start sh -c 'echo runs'
    has "the sandbox runs" '^runs$'
fi

for setting in 2 3; do
    where="$LATTICE_QEMU, Yama $setting"
    echo $setting >$yama
    start sh -c 'echo runs'
    [ $? -eq 125 ]
    judge "start is refused (125)" $?
    [ $setting -eq 3 ] && remedy='cannot be lowered' || remedy='sysctl kernel.yama.ptrace_scope=1'
    has "… with the remedy" "$remedy"
    ! grep -q '^runs$' $out
    judge "… before the program ran" $?
    "${user[@]}" "$lattice" doctor >$out 2>&1
    [ $? -ne 0 ]
    judge "doctor says that it cannot run" $?
    has "… and the remedy" "$remedy"
done
exit $failed
