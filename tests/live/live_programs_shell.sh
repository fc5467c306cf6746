#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: ssh, rsync, iperf3, socat, ncat, netcat, strace and gdb work in the sandbox as they do natively: as clients
# through the tunnel, and with their servers on the sandbox's own loopback.
. "$(dirname "$0")/../support/live.sh"
. "$LIVE_SUPPORT/live_programs.inc"
programs_begin "$@"

if programs_need ssh ssh sshd scp; then
    . "$PROGRAMS_SUPPORT/ssh_server.sh"
    ssh_keys "$live_dir/ssh"
    [ "$(id -u)" -ne 0 ] || chown -R "$LIVE_UID:$LIVE_UID" "$live_dir/ssh"
    live_start sshd server 'Server listening on :: port 2222' "$(command -v sshd)" -D -e -f "$live_dir/ssh/sshd_config" -p 2222
    abroad "ssh to $SERVER4" '^ssh works' bash "$PROGRAMS_SUPPORT/ssh_client.sh" "$live_dir/ssh/ssh_config" $SERVER4 2222
    abroad "ssh to $SERVER6" '^ssh works' bash "$PROGRAMS_SUPPORT/ssh_client.sh" "$live_dir/ssh/ssh_config" $SERVER6 2222
    at_home "sshd and ssh" '^ssh works' bash "$PROGRAMS_SUPPORT/ssh_home.sh"
fi
if programs_need rsync rsync; then
    for side in abroad home; do
        mkdir -p "$live_dir/rsync-$side/module"
        printf 'use chroot = no\n[module]\npath = %s\nread only = no\n' "$live_dir/rsync-$side/module" >"$live_dir/rsync-$side/conf"
        [ "$(id -u)" -ne 0 ] || chown -R "$LIVE_UID:$LIVE_UID" "$live_dir/rsync-$side"
    done
    live_start rsyncd server 'listening on port 8730' bash "$PROGRAMS_SUPPORT/rsyncd.sh" "$live_dir/rsync-abroad/conf"
    abroad "rsync with its daemon" '^rsync works' bash "$PROGRAMS_SUPPORT/rsync.sh" "rsync://v4.example.test:8730/module"
    at_home "rsync and its daemon" '^rsync works' bash "$PROGRAMS_SUPPORT/rsync.sh" "rsync://127.0.0.1:8730/module" \
        "$live_dir/rsync-home/conf"
fi

if programs_need iperf3 iperf3; then
    live_start iperf3 server 'Server listening on' iperf3 -s -p 5201 --forceflush
    abroad "iperf3 over IPv4" '^iperf3 works' bash "$PROGRAMS_SUPPORT/iperf3.sh" $SERVER4 5201
    abroad "iperf3 over IPv6" '^iperf3 works' bash "$PROGRAMS_SUPPORT/iperf3.sh" $SERVER6 5201
    at_home "iperf3, both sides" '^iperf3 works' bash "$PROGRAMS_SUPPORT/iperf3.sh" 127.0.0.1 5202 own
fi

if programs_need socat socat ncat nc; then
    for kind in tcp udp; do
        live_start "socat_$kind" server 'listening on|receiving on' bash "$PROGRAMS_SUPPORT/socat_echo.sh" $kind 7001
    done
    abroad "socat, ncat and nc over IPv4" '^socat works' bash "$PROGRAMS_SUPPORT/socat.sh" $SERVER4 7001
    abroad "socat, ncat and nc over IPv6" '^socat works' bash "$PROGRAMS_SUPPORT/socat.sh" "[$SERVER6]" 7001
    at_home "socat, ncat and nc, both sides" '^socat works' bash "$PROGRAMS_SUPPORT/socat.sh" 127.0.0.1 7001 own
fi

# In docker-harsh nobody may use ptrace, natively neither.
if [ "${LIVE_PLACE:-}" != docker-harsh ] && programs_need "strace and gdb" strace gdb curl; then
    at_home "strace and gdb" '^gdb works' bash "$PROGRAMS_SUPPORT/trace.sh"
fi
programs_done
