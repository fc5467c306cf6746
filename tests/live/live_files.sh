#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise (C6, C7): with --files=workspace a program reads the system's directories, writes its working
# directory and temporary ones, and finds the rest of the home directory closed, by whichever way it goes;
# what is named is open; development tools work. With --files=open each of these ways leads there.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
LIVE_IN_client=()
helpers=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}
home=$live_dir/home
ws=$home/project
"$LATTICE" doctor --json | grep -q '"id":"files","group":"walls","state":"ok"' ||
    live_skip_all "Landlock cannot be used here: $("$LATTICE" doctor | grep -i landlock)"

plant() {
    (
        cd "$home" || exit 1
        rm -rf .ssh .ssh2 .aws .kube .config/systemd other project .bashrc .profile .zshrc .netrc fifo
        mkdir -p .ssh .aws .kube other/.git/hooks project
        for f in .ssh/id_ed25519 .aws/credentials .netrc .kube/config other/.env; do echo "canary of $f" >$f; done
        echo '# mine' >.bashrc
    )
    [ "$(id -u)" -ne 0 ] || chown -R "$LIVE_UID:$LIVE_UID" "$home"
}
state() { (cd "$home" && find . -path ./.cache -prune -o -path ./project -prune -o -path ./.local -prune -o -type d -printf '%p d\n' -o -printf '%p %y %s\n' | sort); }
# lat OPTIONS… -- CMD…: a sandbox whose workspace is the project.
lat() { live_user client env -C "$ws" "$LATTICE" sandbox start --offline --name files "$@"; }

plant
mkfifo "$live_dir/hold"
[ "$(id -u)" -ne 0 ] || chown "$LIVE_UID" "$live_dir/hold"
live_start holder client '^held' env -C "$home" SECRET=canary sh -c "echo held; read -r _ <$live_dir/hold"
probe=(/usr/bin/python3 "$LIVE_SUPPORT/files_probe.py" "$home" "$live_pid_holder")
cp "$LIVE_SUPPORT/files_probe.py" "$live_dir/tmp/probe.py"
chmod a+r "$live_dir/tmp/probe.py"
probe[1]=$live_dir/tmp/probe.py

lat --files=open -- "${probe[@]}" >"$live_dir/open" 2>&1
ways=$(grep -cE '^(read|change) ' "$live_dir/open")
equal "control: with --files=open every way leads there but those through PID" "$((ways - 11))" "$(grep -c ': got$' "$live_dir/open")"
grep -v -e ': got$' -e PID "$live_dir/open" | sed 's/^/# /'
plant
live_user client env -C "$ws" "${probe[@]}" >"$live_dir/native" 2>&1
equal "control: outside, those do, too" "$ways" "$(grep -c ': got$' "$live_dir/native")"
plant
before=$(state)
lat --files=workspace -- "${probe[@]}" >"$live_dir/out" 2>&1
equal "with --files=workspace every way is tried" "$ways" "$(grep -cE '^(read|change) ' "$live_dir/out")"
equal "and none leads there" 0 "$(grep -cE ': (got|other bytes)$' "$live_dir/out")"
grep -E ': (got|other bytes)$' "$live_dir/out" | sed 's/^/# /'
equal "nothing outside of the workspace has changed" "$before" "$(state)"

# What is named is open, and no more than that.
echo canary-note >"$home/notes"
chmod a+r "$home/notes"
look() { lat "$@" -- sh -c 'for f; do cat $HOME/$f && echo "got $f"; done' sh notes .ssh/id_ed25519 .netrc >"$live_dir/out" 2>&1; }
look --files=workspace
equal "nothing is named, nothing is open" 0 "$(grep -c ^got "$live_dir/out")"
look --files=workspace --read '~/notes'
equal "a file that is named is open, alone" "got notes" "$(grep ^got "$live_dir/out")"
look --files=workspace --read '~'
equal "with all of the home directory, credentials stay closed" "got notes" "$(grep ^got "$live_dir/out")"
look --files=workspace --read '~' --read '~/.ssh'
equal "until exactly they are named" "got notes got .ssh/id_ed25519" "$(grep ^got "$live_dir/out" | tr '\n' ' ' | sed 's/ $//')"
lat --files=workspace --read '~/notes' -- sh -c 'echo x >>~/notes' >"$live_dir/out" 2>&1
contains "what is named for reading cannot be written" 'Permission denied' "$live_dir/out"
lat --files=workspace --write '~/other' -- sh -c 'echo x >~/other/new && mv ~/other/new . && cat new' >"$live_dir/out" 2>&1
equal "what is named for writing can, and moved" x "$(cat "$live_dir/out")"
live_user client ln -s "$home/.ssh" "$ws/out"
lat --files=workspace --write ./out -- sh -c 'cat out/id_ed25519' >"$live_dir/out" 2>&1
contains "a link in the workspace opens nothing" 'Permission denied' "$live_dir/out"
contains "and that is said" 'a link that a program could have made' "$live_dir/out"

cat >"$home/policy.json" <<'EOF'
{"apiVersion": "lattice.dev/v1", "kind": "Policy",
 "spec": {"files": {"mode": "workspace", "read": ["~/notes"], "write": ["../other"]}}}
EOF
cp "$home/policy.json" "$ws/policy.json"
chmod a+r "$home/policy.json" "$ws/policy.json"
look --policy "$home/policy.json"
equal "a policy file says the same" "got notes" "$(grep ^got "$live_dir/out")"
look --policy "$home/policy.json" --files=open
equal "the command line wins" 3 "$(grep -c ^got "$live_dir/out")"
contains "the mode is in the record" '"kind":"start".*files: workspace' "$home/.local/state/lattice/files.jsonl"

live_user client mkfifo "$ws/go"
lat --files=workspace -- sh -c 'echo started; read -r _ <go' >"$live_dir/inspected" 2>&1 &
live_pids+=($!)
live_wait_line "$live_dir/inspected" '^started' $!
live_user client "$LATTICE" sandbox inspect files >"$live_dir/out" 2>&1
contains "'sandbox inspect' shows the mode" '^files +workspace' "$live_dir/out"
live_user client sh -c "echo >$ws/go"

# What would make it worthless is refused.
refused() {
    local what=$1 words=$2
    shift 2
    "$@" >"$live_dir/out" 2>&1
    equal "$what: refused" 125 $?
    contains "$what: and why" "$words" "$live_dir/out"
}
refused "a policy file that the program could change" '--policy policy.json could be changed' lat --files=workspace --policy policy.json -- true
refused "records that it could change" '--audit-log .*could be changed' lat --files=workspace --audit-log ./log -- true
live_user client sh -c "umask 077; printf 'user\npassword\n' >'$ws/creds'"
refused "a secret that it could read" '--nats-creds ./creds could be read' lat --files=workspace --nats nats://127.0.0.1:9 --nats-creds ./creds -- true
refused "the home directory as workspace" 'is your home directory' \
    live_user client env -C "$home" "$LATTICE" sandbox start --offline --files=workspace -- true
refused "a directory of credentials as workspace" 'holds credentials' \
    live_user client env -C "$home/.ssh" "$LATTICE" sandbox start --offline --files=workspace -- true
refused "paths without the mode" 'go with --files=workspace' lat --read /srv -- true
refused "a kernel without Landlock" 'needs Landlock' live_user client env -C "$ws" "$helpers/dockerlike" --no-landlock -- \
    "$LATTICE" sandbox start --offline --files=workspace -- true
live_user client env -C "$ws" "$helpers/dockerlike" --no-landlock -- "$LATTICE" sandbox start --offline -- true
equal "control: without the mode such a kernel will do" 0 $?
live_user client sh -c "mkdir -p ~/bin; printf '#!/bin/sh\necho ran\n' >~/bin/tool; chmod 755 ~/bin/tool"
lat --files=workspace -- "$home/bin/tool" >"$live_dir/out" 2>&1
equal "a program that lies in what is closed is not run" 126 $?
contains "and the option that opens it is named" '--read DIR' "$live_dir/out"
equal "with that it runs" ran "$(lat --files=workspace --read '~/bin' -- "$home/bin/tool" 2>&1)"

# Work that people do.
chmod a+rw "$live_dir/out" # /dev/stderr is opened by name
w() {
    local what=$1 expected=$2
    shift 2
    lat --files=workspace -- "$@" >"$live_dir/out" 2>&1
    contains "$what" "$expected" "$live_dir/out"
}
printf '[user]\n\tname = t\n\temail = t@example.test\n' >"$home/.gitconfig"
chmod a+r "$home/.gitconfig"
w "git: a repository, a commit, a branch, a merge" '^merged' sh -ec 'mkdir r; cd r; git init -q .; echo 1 >f; git add f
    git commit -qm one; git checkout -qb b; echo 2 >f; git commit -qam two; git checkout -q -; git merge -q b; git gc -q; [ $(cat f) = 2 ]
    git clone -q . ../clone; [ -e ../clone/f ] && echo merged'
w "temporary files" '^temporary' sh -ec 'f=$(mktemp); echo temporary >$f; cat $f; rm $f'
w "a pipe through /dev and descriptors" '^piped' sh -ec 'echo piped | cat /dev/stdin >>/dev/stderr; echo lost >/dev/null'
w "shared memory and a process pool" '^6 ' /usr/bin/python3 -c 'import multiprocessing as m
with m.Pool(2) as p: print(sum(p.map(int, "123")), m.Value("i", 1).value)'
w "a terminal" '^tty /dev/pts' script -qec 'echo tty $(tty)' /dev/null
if command -v cc >/dev/null; then
    w "a compiler" '^compiled' sh -ec 'printf "#include <stdio.h>\nint main(void){return puts(\"compiled\") < 0;}\n" >m.c; cc -O1 m.c -o m; ./m'
else
    live_skip "a compiler" "none is here"
fi
w "a Python environment" "^$ws/venv" sh -ec "/usr/bin/python3 -m venv --without-pip venv; venv/bin/python -c 'import sys; print(sys.prefix)'"
if [ -x /usr/bin/npm ]; then
    w "npm install" 'added 1 package' sh -ec 'mkdir -p app pkg; echo "{\"name\":\"pkg\",\"version\":\"1.0.0\"}" >pkg/package.json
        echo "{\"name\":\"app\",\"version\":\"1.0.0\",\"dependencies\":{\"pkg\":\"file:../pkg\"}}" >app/package.json
        cd app; npm install --no-audit --no-fund; [ -e node_modules/pkg/package.json ]'
else
    live_skip "npm install" "no npm in /usr/bin"
fi
w "caches of its own" "^$home/.cache/lattice/sandbox" sh -c 'echo kept >$XDG_CACHE_HOME/c; echo $XDG_CACHE_HOME'
live_done
