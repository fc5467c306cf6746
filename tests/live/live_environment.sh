#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise (C3, C5): lattice's own secrets are neither in the program's environment nor in any command
# line or environment that it can read; addresses of the host's daemons come in with the rule for
# their socket only; --env and --clear-env do what they say. Each canary is first found outside.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
LIVE_IN_client=()

d=$live_dir/tmp
cat >"$d/agent.py" <<'EOF'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print("ready", flush=True)
while True:
    s.accept()[0].sendall(b"key of the agent\n")
EOF
cat >"$d/ask.py" <<'EOF'
import os, socket
path = os.environ.get("SSH_AUTH_SOCK")
print("address", path)
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(path or "/nonexistent")
    print("said", s.recv(99).decode())
except OSError as e:
    print("said", e.strerror)
EOF
# What can be read of environments and command lines, by whoever runs this.
cat >"$d/look.sh" <<'EOF'
env
for p in /proc/[0-9]*; do
    cat $p/environ $p/cmdline 2>/dev/null | tr '\0' '\n'
done
EOF
# The canaries are set here, and not on the command line of a process that goes on beside the test.
cat >"$d/with.sh" <<EOF
export LATTICE_AUTH_TOKEN=canary-operator LATTICE_TOKEN_FILE=/canary-token-file API_KEY=plain-value
export SSH_AUTH_SOCK=$d/agent.sock DISPLAY=:77 TMUX=/tmp/tmux-0/default,1,0 PYTHONPATH=/canary-path
export DOCKER_HOST=tcp://192.0.2.9:2375 LC_TIME=C.UTF-8
exec "\$@"
EOF
chmod -R a+rX "$d"
live_start agent client '^ready$' /usr/bin/python3 "$d/agent.py" "$d/agent.sock"
# look OPTIONS…: what a sandbox sees.
look() {
    live_user client sh "$d/with.sh" "$LATTICE" sandbox start --offline --audit-log "$d/records" "$@" -- \
        sh "$d/look.sh" >"$live_dir/out" 2>"$live_dir/err"
}

live_user client sh "$d/with.sh" sh "$d/look.sh" >"$live_dir/out" 2>&1
for canary in canary-operator canary-token-file plain-value "SSH_AUTH_SOCK=$d/agent.sock" DISPLAY=:77 TMUX=; do
    contains "control: outside, $canary is seen" "$canary" "$live_dir/out"
done

look --verbose
for canary in canary-operator canary-token-file 'SSH_AUTH_SOCK=' 'DISPLAY=' 'TMUX='; do
    lacks "$canary does not come in" "$canary" "$live_dir/out"
done
contains "other variables do" '^API_KEY=plain-value' "$live_dir/out"
contains "so does an address that leads through the network" '^DOCKER_HOST=tcp:' "$live_dir/out"
contains "--verbose names what was kept back" 'not given.*SSH_AUTH_SOCK' "$live_dir/err"
lacks "and not what is in it" 'canary-operator' "$live_dir/err"
lacks "nor do the records" 'canary-operator' "$d/records"

look --clear-env --env API_KEY --env NEW=1
lacks "--clear-env leaves nothing but the base set" '^(PYTHONPATH|DOCKER_HOST)=' "$live_dir/out"
contains "which has HOME" '^HOME=' "$live_dir/out"
contains "and the locale" '^LC_TIME=' "$live_dir/out"
contains "--env NAME passes one" '^API_KEY=plain-value' "$live_dir/out"
contains "--env NAME=VALUE sets one" '^NEW=1' "$live_dir/out"

look --env LATTICE_AUTH_TOKEN
equal "an operator's token cannot be named" 125 $?
contains "and it is said why" 'command latticed' "$live_dir/err"
look --env NOT_SET_ANYWHERE
equal "a name without a value that is not set is an error" 125 $?

# ask OPTIONS…: does the program find the agent of keys, and get an answer?
ask() {
    live_user client sh "$d/with.sh" "$LATTICE" sandbox start --offline --audit-log "$d/records" "$@" -- \
        /usr/bin/python3 "$d/ask.py" >"$live_dir/out" 2>"$live_dir/err"
}
ask --allow "unix:$d/agent.sock"
contains "with the rule for its socket, the address comes in" "^address $d/agent.sock" "$live_dir/out"
contains "and the agent answers" '^said key of the agent' "$live_dir/out"
ask --allow "unix:$d/other.sock"
contains "with another rule, it does not" '^address None' "$live_dir/out"
ask --env SSH_AUTH_SOCK
contains "by --env it does" "^address $d/agent.sock" "$live_dir/out"
contains "but the socket stays closed" '^said Connection refused' "$live_dir/out"
ask --audit
contains "in audit mode all come in, and are recorded when used" '^said key of the agent' "$live_dir/out"

# A token on lattice's own command line is gone before anything is asked of anybody.
cat >"$d/silent.py" <<'EOF'
import socket
s = socket.create_server(("127.0.0.1", 0))
print("port", s.getsockname()[1], flush=True)
c = s.accept()[0]
print("asked", flush=True)
c.recv(1 << 16)
s.accept()
EOF
ip link set lo up
live_start silent client '^port ' /usr/bin/python3 "$d/silent.py"
port=${live_line#port }
"${LIVE_USER[@]}" "LATTICE_CONFIG_DIR=$d/config" "$LATTICE" sandbox start --name canary --server-url "http://127.0.0.1:$port" \
    --token canary-enrolment --audit-log "$d/records" -- true >"$live_dir/enrol" 2>&1 &
pid=$!
live_pids+=("$pid")
if live_wait_line "$live_dir/silent.log" '^asked' "$pid"; then
    tr '\0' ' ' <"/proc/$pid/cmdline" >"$live_dir/cmdline"
    contains "control: the command line of the start can be read" '--token' "$live_dir/cmdline"
    lacks "an enrolment token on it cannot" 'canary-enrolment' "$live_dir/cmdline"
else
    not_ok "latticed was asked: $(cat "$live_dir/enrol")"
fi
kill "$pid" 2>/dev/null

# Another process of the same user, outside, has the secret in its environment.
mkfifo "$d/hold"
[ "$(id -u)" -ne 0 ] || chown "$LIVE_UID" "$d/hold"
live_start holder client '^held' sh "$d/with.sh" sh -c "echo held; read -r _ <$d/hold"
live_user client sh "$d/look.sh" >"$live_dir/out" 2>&1
contains "control: outside, a neighbour's environment can be read" canary-operator "$live_dir/out"
if "$LATTICE" doctor --json | grep -q '"id":"outside_memory","group":"walls","state":"ok"'; then
    look
    lacks "inside it cannot" canary-operator "$live_dir/out"
else
    live_skip "inside it cannot" "neither Landlock nor Yama keeps neighbours apart here"
fi
live_done
