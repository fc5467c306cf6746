#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise (C7): in the workspace of --files=workspace, names that programs outside believe and run (hooks,
# settings of editors and agents) cannot be written, made, moved or replaced by the program, whether or
# not they exist; git works on; nothing of the protection is left behind. It takes user namespaces: without,
# the start says so.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
LIVE_IN_client=()
helpers=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}
home=$live_dir/home
ws=$home/deep/project
"$LATTICE" doctor --json | grep -q '"id":"files","group":"walls","state":"ok"' || live_skip_all "Landlock cannot be used here"
live_user client unshare -Um true 2>/dev/null || live_skip_all "no user namespaces here"

# plant [DIR]: a repository with settings of one editor; nothing of the others.
plant() {
    local dir=${1:-$ws}
    rm -rf "${dir%/*}"*
    live_user client sh -ec "mkdir -p $dir; cd $dir; git init -q .; git config user.name t; git config user.email t@example.test
        mkdir .idea; echo mine >.idea/a; echo mine >.envrc; git add -f .idea .envrc; git commit -qm one"
}
# What is believed, as it lies there.
believed() { (cd "$1" && find .git/hooks .git/config .git/commondir .vscode .idea .mcp.json .claude .cursor .envrc -type d -printf '%p d %m\n' -o -printf '%p %y %m %s\n' 2>/dev/null | sort); live_user client git -C "$1" log --oneline | wc -l; }
lat() { live_user client env -C "$ws" "$LATTICE" sandbox start --offline --name names "$@"; }
cp "$LIVE_SUPPORT/names_probe.py" "$live_dir/tmp/probe.py"
chmod a+r "$live_dir/tmp/probe.py"
probe=(/usr/bin/python3 "$live_dir/tmp/probe.py")

plant
live_user client env -C "$ws" "${probe[@]}" >"$live_dir/native" 2>&1
all=$(grep -c ': ' "$live_dir/native")
got=$(grep -c ': got$' "$live_dir/native")
[ "$got" -gt $((all * 3 / 4)) ] && ok "control: outside, $got of $all ways succeed" || not_ok "control: outside, only $got of $all ways succeed"
plant
lat --files=workspace --isolate=none -- "${probe[@]}" >"$live_dir/out" 2>&1
equal "control: without namespaces they do, too, but for the directories above" $((got - 2)) "$(grep -c ': got$' "$live_dir/out")"
contains "and the start says so" 'nothing protects .git/hooks' "$live_dir/out"

plant
before=$(believed "$ws")
lat --files=workspace -- "${probe[@]}" >"$live_dir/out" 2>&1
equal "every way is tried" "$all" "$(grep -c ': ' "$live_dir/out")"
equal "none succeeds" 0 "$(grep -c ': got$' "$live_dir/out")"
grep ': got$' "$live_dir/out" | sed 's/^/# /'
equal "what is believed is as it was, and nothing new is left" "$before" "$(believed "$ws")"
lacks "the start has nothing to say" 'nothing protects' "$live_dir/out"

plant
before=$(believed "$ws")
lat --files=workspace --isolate=full -- "${probe[@]}" >"$live_dir/out" 2>&1
equal "with --isolate=full none succeeds either" "$all 0" "$(grep -c ': ' "$live_dir/out") $(grep -c ': got$' "$live_dir/out")"
equal "with --isolate=full all is as it was" "$before" "$(believed "$ws")"

# A workspace whose own name the program could move, since it may write the directory above.
plant "$live_dir/tmp/deep/ws"
before=$(believed "$live_dir/tmp/deep/ws")
live_user client env -C "$live_dir/tmp/deep/ws" "$LATTICE" sandbox start --offline --files=workspace -- "${probe[@]}" >"$live_dir/out" 2>&1
equal "below a temporary directory: none succeeds" 0 "$(grep -c ': got$' "$live_dir/out")"
contains "below a temporary directory: not even moving the workspace" 'move away the workspace: Device or resource busy' "$live_dir/out"
contains "below a temporary directory: nor the directory above it" 'move away the directory above: Device or resource busy' "$live_dir/out"
equal "below a temporary directory: all is as it was" "$before" "$(believed "$live_dir/tmp/deep/ws")"

plant
lat --files=workspace -- sh -ec 'echo 2 >f; git add -A; git commit -qm two; git checkout -qb b; echo 3 >f; git commit -qam three
    git checkout -q -; git merge -q b; git gc -q; git fsck; git stash list; [ -z "$(git status --porcelain)" ]; git ls-files; cat f' >"$live_dir/out" 2>&1
contains "git works, and sees nothing new" '^3$' "$live_dir/out"
lacks "nothing of it is committed" 'mcp.json|claude' "$live_dir/out"
equal "its commits are there" 3 "$(live_user client git -C "$ws" log --oneline | wc -l)"

lat --files=workspace --write ./.vscode -- sh -c 'mkdir -p .vscode && echo set >.vscode/settings.json; echo x >.mcp.json' >"$live_dir/out" 2>&1
equal "a name that is named for writing is left to the program" set "$(cat "$ws/.vscode/settings.json")"
contains "the others are not" 'mcp.json: Is a directory' "$live_dir/out"

# Two at once: the first one's end takes nothing away from the second.
live_user client mkfifo "$ws/one" "$ws/two"
for n in one two; do
    lat --files=workspace -- sh -c "echo started; read -r _ <$n; echo evil >.mcp.json || echo kept" >"$live_dir/$n" 2>&1 &
    declare "pid_$n=$!"
    live_pids+=($!)
    live_wait_line "$live_dir/$n" '^started' $!
done
[ -d "$ws/.mcp.json" ] && ok "control: a directory stands in the place of a name" || not_ok "control: a directory stands in the place of a name"
live_user client sh -c "echo >$ws/one"
wait "$pid_one"
live_user client sh -c "echo >$ws/two"
wait "$pid_two"
contains "when the first has ended, the second is still kept out" '^kept' "$live_dir/two"
equal "when both have, nothing is left" "" "$(find "$ws" -maxdepth 1 -name '.[mc][cl]*')"

# A supervisor that is killed cannot clear away; its janitor does. The end of the pipe says when.
live_user client sh -c "rm -f $ws/one; mkfifo $ws/one"
lat --files=workspace -- sh -c "echo started; read -r _ <one" >"$live_dir/killed" 2>&1 &
pid=$!
live_pids+=("$pid")
live_wait_line "$live_dir/killed" '^started' "$pid"
supervisor=$(live_user client "$LATTICE" sandbox inspect names | sed -n 's/^supervisor //p')
kill -KILL "$supervisor"
wait "$pid" 2>/dev/null
timeout "$LIVE_WAIT_S" flock "$ws" true # the janitor holds its lock until it is done
equal "after kill -9 nothing is left either" "" "$(find "$ws" -maxdepth 1 -name '.[mc][cl]*')"

# Repositories in the workspace: one below it, a submodule, what a linked worktree has, a bare one.
plant_nested() {
    plant
    live_user client sh -ec "cd $home/deep; rm -rf origin linked; git init -q origin; cd origin; git config user.name t
        git config user.email t@example.test; echo 1 >f; git add f; git commit -qm one; cd $ws
        git -c protocol.file.allow=always submodule --quiet add ../origin vendor/sub; git commit -qm sub; git worktree add -q ../linked
        git clone -q --bare ../origin store.git; git clone -q ../origin libs/inner; cd libs/inner; git config user.name t
        git config user.email t@example.test; mkdir .idea; echo mine >.idea/a; echo mine >.envrc; git add -f .idea .envrc; git commit -qm two"
}
cat >"$live_dir/tmp/git_dirs.sh" <<'EOF'
for way in 'echo evil >>.git/modules/vendor/sub/config' 'echo evil >.git/modules/vendor/sub/hooks/post-checkout' \
    'echo /tmp >.git/modules/vendor/sub/commondir' 'echo evil >.git/worktrees/linked/commondir' 'echo evil >vendor/sub/.git' \
    'mkdir -p vendor/sub/.vscode && echo evil >vendor/sub/.vscode/tasks.json' 'echo evil >>store.git/config' 'echo evil >store.git/hooks/update' \
    'mv store.git/hooks store.git/h' 'mv store.git store' 'mv vendor/sub vendor/s' 'mv vendor v' 'mv .git/worktrees/linked .git/worktrees/l' \
    'mv .git/worktrees .git/w' 'mv .git/modules/vendor/sub .git/modules/vendor/s' 'mv .git/modules/vendor .git/modules/v' 'mv .git/modules .git/m'; do
    if sh -c "$way"; then echo "$way: got"; else echo "$way: kept"; fi
done
EOF
chmod a+r "$live_dir/tmp/git_dirs.sh"
nested_believed() {
    believed "$ws"
    believed "$ws/libs/inner"
    (cd "$ws" && cat vendor/sub/.git .git/worktrees/linked/commondir store.git/config .git/modules/vendor/sub/config &&
        find store.git/hooks .git/modules/vendor/sub/hooks vendor/sub -printf '%p %m\n' | sort)
}
# in_nested OPTIONS…: both programs; what they say is in $live_dir/out.
in_nested() {
    lat "$@" -- sh "$live_dir/tmp/git_dirs.sh" >"$live_dir/out" 2>&1
    lat "$@" -- sh -c "cd libs/inner && ${probe[*]}" >>"$live_dir/out" 2>&1
}
plant_nested
lat --files=workspace --isolate=none -- sh -c "cd libs/inner && ${probe[*]}" >"$live_dir/out" 2>&1
got=$(grep -c ': got$' "$live_dir/out")
[ "$got" -gt $((all * 3 / 4)) ] && ok "control: in a repository below, without namespaces, $got ways succeed" ||
    not_ok "control: in a repository below, without namespaces, $got ways succeed"
plant_nested
lat --files=workspace --isolate=none -- sh "$live_dir/tmp/git_dirs.sh" >"$live_dir/out" 2>&1
got=$(grep -c ': got$' "$live_dir/out")
[ "$got" -gt 11 ] && ok "control: without namespaces $got ways into git directories succeed" || not_ok "control: without namespaces $got ways into git directories succeed"
plant_nested
before=$(nested_believed)
in_nested --files=workspace
equal "in repositories below, none succeeds" 0 "$(grep -c ': got$' "$live_dir/out")"
grep ': got$' "$live_dir/out" | sed 's/^/# /'
equal "in repositories below, each is tried" "17 $all" "$(grep -c ': kept$' "$live_dir/out") $(grep -cE '^[a-z ]+ [^ ]*( [a-z]+)*: [A-Z][^:]*$' "$live_dir/out")"
contains "in repositories below: not even moving them away" 'move away the workspace: Device or resource busy' "$live_dir/out"
equal "what is believed there is as it was, and nothing new is left" "$before" "$(nested_believed)"
lat --files=workspace -- sh -ec 'cd libs/inner; echo 3 >g; git add -A; git commit -qm three; git checkout -qb b; git gc -q; [ -z "$(git status --porcelain)" ]
    cd ../../vendor/sub; git -c user.name=t -c user.email=t@example.test commit -q --allow-empty -m x; git checkout -q HEAD~; cd ../..
    git worktree list; git submodule status; git status --short' >"$live_dir/out" 2>&1
equal "git works there, too" 0 $?
contains "and knows the linked worktree" '/linked ' "$live_dir/out"
lacks "a run that makes no repository has nothing to say about them" 'made repositories' "$live_dir/out"
lat --files=workspace -- sh -ec 'git init -q fresh; mkdir -p libs/other; git clone -q --bare . libs/other/copy.git' >"$live_dir/out" 2>&1
contains "repositories that the program makes are named at its end" 'made repositories.*fresh, libs/other/copy.git' "$live_dir/out"
lat --files=workspace -- true >"$live_dir/out" 2>&1
lacks "… and once only" 'made repositories' "$live_dir/out"
live_user client mkdir -p "$home/plain"
live_user client env -C "$home/plain" "$LATTICE" sandbox start --offline --files=workspace -- git init -q . >"$live_dir/out" 2>&1
contains "the workspace itself, too" 'made repositories.*paths=\.' "$live_dir/out"
rm -rf "$ws/libs/other" "$ws/fresh"
lat --files=workspace --write ./libs -- sh -c "cd libs/inner && ${probe[*]}" >"$live_dir/out" 2>&1
[ "$(grep -c ': got$' "$live_dir/out")" -gt $((all * 3 / 4)) ] && ok "repositories below what is named for writing are left to the program" ||
    not_ok "repositories below what is named for writing are left to the program"
plant_nested
live_user client sh -ec "rm -rf $ws/libs/inner/.idea; ln -s /tmp $ws/libs/inner/.idea; mkdir -p $ws/many; cd $ws/many; for i in \$(seq 200); do mkdir -p r\$i/.git; done"
lat --files=workspace -- true >"$live_dir/out" 2>&1
equal "more repositories than can be protected, and a link in one: it starts" 0 $?
contains "and says so of the link" 'a link cannot be protected.*libs/inner/.idea' "$live_dir/out"
contains "… and of their number" 'as far as they were found.*128' "$live_dir/out"
rm -rf "$ws/many"

live_user client ln -s /tmp "$ws/.claude"
lat --files=workspace -- true >"$live_dir/out" 2>&1
equal "a name that is a link cannot be protected: refused" 125 $?
contains "and why" '.claude is a link.*--write ./.claude' "$live_dir/out"
lat --files=workspace --write ./.claude -- true >"$live_dir/out" 2>&1
equal "with that it starts" 0 $?
live_user client env -C "$ws" "$helpers/dockerlike" -- "$LATTICE" sandbox start --offline --files=workspace -- true >"$live_dir/out" 2>&1
equal "where namespaces are refused, it starts" 0 $?
contains "and says what is not protected" 'nothing protects .git/hooks' "$live_dir/out"
live_done
