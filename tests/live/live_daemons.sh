#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise (C3): daemons at the places where a machine really has them (containers, buses, key agents, displays, sound,
# system services; paths, links, abstract names, datagram sockets) hear nothing of a program in the sandbox, which is
# refused at each, with a record for each. Outside, each daemon hears the same program; with a rule, that one does.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

d=$live_dir/tmp
mount -t tmpfs -o mode=755 none /run || live_skip_all "/run cannot be covered in a mount namespace of our own"
[ "$(readlink -f /var/run)" = /run ] || mount --bind /run /var/run
[ "$(id -u)" -ne 0 ] || chown "$LIVE_UID:$LIVE_UID" /run
cat >"$d/daemons.py" <<'EOF'
# daemons.py listen|knock PLACE…: @NAME is abstract, =PATH a datagram socket. A line for each visit, or knock.
import os, select, socket, sys
def address(place):
    return "\0" + place[1:] if place[0] == "@" else place.lstrip("=")
def kind(place):
    return socket.SOCK_DGRAM if place[0] == "=" else socket.SOCK_STREAM
sockets = {}
for place in sys.argv[2:]:
    s = socket.socket(socket.AF_UNIX, kind(place))
    if sys.argv[1] == "listen":
        if place[0] != "@":
            os.makedirs(os.path.dirname(address(place)), exist_ok=True)
        s.bind(address(place))
        kind(place) == socket.SOCK_STREAM and s.listen()
        sockets[s] = place
        continue
    try:
        s.sendto(b"x", address(place)) if place[0] == "=" else s.connect(address(place))
        print("reached", place, flush=True)
    except OSError as e:
        print("refused", place, e.strerror, flush=True)
if sockets:
    print("listening", flush=True)
while sockets:
    for s in select.select(list(sockets), [], [])[0]:
        s.recv(9) if sockets[s][0] == "=" else s.accept()[0].close()
        print("visit", sockets[s], flush=True)
EOF
user=/run/user/$LIVE_UID
places=(/run/docker.sock /run/containerd/containerd.sock /run/crio/crio.sock /run/podman/podman.sock "$user/podman/podman.sock"
    "$user/docker.sock" /run/libvirt/libvirt-sock /run/snapd.socket /run/dbus/system_bus_socket "$user/bus" /run/systemd/private
    "$user/systemd/private" =/run/systemd/journal/socket =/run/systemd/journal/dev-log =/run/systemd/notify
    /run/systemd/io.systemd.Manager /run/systemd/resolve/io.systemd.Resolve /run/avahi-daemon/socket
    "$user/keyring/ssh" "$user/gnupg/S.gpg-agent" "$user/gnupg/S.gpg-agent.ssh" "$d/ssh-XXXX/agent.77" "$user/wayland-0"
    "$user/pulse/native" "$user/pipewire-0" "$user/at-spi/bus" "$user/speech-dispatcher/speechd.sock" /run/cups/cups.sock
    /run/pcscd/pcscd.comm /run/postgresql/.s.PGSQL.5432 /run/mysqld/mysqld.sock /run/acpid.socket "$user/vscode-git-77.sock"
    "$d/tmux-1000/default" @/tmp/.X11-unix/X77 @/tmp/.ICE-unix/77 @/tmp/dbus-77 @/org/freedesktop/systemd1/notify)
all=$((${#places[@]} + 1)) # /var/run is a link to /run
# The fences come last: what their daemon hears before it hears one of them was there before.
fences=("$d/fence.1" "$d/fence.2" "$d/fence.3")
live_start daemons client '^listening$' /usr/bin/python3 "$d/daemons.py" listen "${places[@]}" "${fences[@]}"
knock() { # WRAPPER…
    live_user client "$@" /usr/bin/python3 "$d/daemons.py" knock "${places[@]}" /var/run/docker.sock >"$live_dir/out" 2>"$live_dir/err"
}
heard() { # NUMBER OF THE FENCE: sets $visits, without the fences'
    live_user client /usr/bin/python3 "$d/daemons.py" knock "$d/fence.$1" >/dev/null
    live_wait_line "$live_dir/daemons.log" "^visit $d/fence.$1\$" "$live_pid_daemons"
    visits=$(grep '^visit ' "$live_dir/daemons.log" | grep -vc 'fence')
}

knock
equal "outside, every place is reached" $all "$(grep -c '^reached ' "$live_dir/out")"
heard 1
equal "outside, every daemon hears it" $all "$visits"
knock "$LATTICE" sandbox start --offline --audit-log "$d/records" --
equal "inside, every place is refused" $all "$(grep -c '^refused ' "$live_dir/out")"
heard 2
equal "and the daemons hear nothing" $all "$visits"
equal "each refusal has a record" $all "$(grep -c '"protocol":"unix","verdict":"drop"' "$d/records")"
knock "$LATTICE" sandbox start --offline --audit-log "$d/records" --allow unix:/run/docker.sock --
equal "with a rule for one, that one is reached, by its link, too, and no other" 2 "$(grep -c '^reached ' "$live_dir/out")"
equal "it is the rule's" 2 "$(grep -c '^reached .*/run/docker.sock$' "$live_dir/out")"
heard 3
equal "its daemon hears both" $((all + 2)) "$visits"
live_done
