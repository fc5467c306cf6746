#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: the sandbox works inside a real container (runc; uid 1000, no capability, no_new_privs, own
# pid, ipc, uts and mount namespaces) under podman's seccomp profile as shipped, and under the same with
# what Docker refuses besides.
. "$(dirname "$0")/../support/live.sh"
. "$(dirname "$0")/../support/live_clients.inc"
[ "$(id -u)" -eq 0 ] || live_skip_all "needs root to start a container with runc"
command -v runc >/dev/null || live_skip_all "runc is not installed"
profile=/usr/share/containers/seccomp.json
[ -r $profile ] || live_skip_all "$profile (package golang-github-containers-common) is missing"
live_enter "$@"
refuse=
docker_refuses=pidfd_getfd,keyctl,add_key,request_key,unshare,setns,kcmp,io_uring_setup,io_uring_enter,io_uring_register,process_madvise

bundle=$live_dir/bundle
mkdir -p "$bundle/rootfs" "$live_dir/runc"
container() { # CMD…: in a container of its own
    rm -f "$bundle/config.json"
    /usr/bin/python3 "$LIVE_SUPPORT/oci_config.py" $profile "$LIVE_UID" "/proc/$$/ns/net" "$live_dir,$LATTICE_SOURCE,$LATTICE_BIN" \
        --refuse "$refuse" --env "HOME=$live_dir/home" --env "TMPDIR=$live_dir/tmp" --env "PATH=$PATH" --env LANG=C.UTF-8 -- "$@" >"$bundle/config.json"
    timeout -k 5 "${LIVE_LIMIT_S:-60}" runc --root "$live_dir/runc" run -b "$bundle" "box-$$-$((++boxes))"
}
boxes=0
# the same words as in live.sh, in the box
sandbox() {
    container "$LATTICE" sandbox start --wg "$live_dir/client.conf" --audit-log "$live_dir/sandbox.jsonl" "$@"
}
errno_of() {
    container /usr/bin/python3 -c '
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
sys.exit(ctypes.get_errno() if libc.syscall(*map(int, sys.argv[1:])) < 0 else 0)' "$@"
}
if ! container true >"$live_dir/runc.log" 2>&1; then
    live_skip_all "runc cannot start a container here: $(tail -n 1 "$live_dir/runc.log")"
fi
equal "inside: the unprivileged user, no capability" "$LIVE_UID 0000000000000000" \
    "$(container sh -c 'echo $(id -u) $(sed -n "s/^CapEff:.//p" /proc/self/status)' 2>&1)"
clients_world
live_gateway
before=$(wc -l <"$live_dir/servers.log")
errno_of 438 -1 0 0
equal "podman's profile lets pidfd_getfd through (EBADF)" 9 $?
clients_each sandboxed
clients_logs "$before"
refuse=$docker_refuses
errno_of 438 -1 0 0
equal "with Docker's refusals it does not (EPERM)" 1 $?
rm -rf "$live_dir"/tmp/clone-*
clients_each sandboxed
live_done
