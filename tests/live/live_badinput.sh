#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: malformed configuration ends with status 125 and a line that names the place and what was
# expected, and nothing was started; the same command with right input does start.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
live_keys
live_client_conf 192.0.2.2:51820
started=$live_dir/tmp/started

# refused WHAT REGEX OPTIONS…: status 125, a message that matches, the program not started
refused() {
    local what=$1 regex=$2 status
    shift 2
    rm -f "$started"
    live_user client "$LATTICE" sandbox start --audit-log "$live_dir/tmp/records" "$@" -- touch "$started" >"$live_dir/out" 2>"$live_dir/err"
    status=$?
    if [ $status -ne 125 ]; then
        not_ok "$what: status 125, saw $status"
        sed 's/^/#   /' "$live_dir/err" | tail -n 5
    elif [ -e "$started" ]; then
        not_ok "$what: the program was started nevertheless"
    else
        contains "$what" "$regex" "$live_dir/err"
    fi
}
accepted() {
    local what=$1 status
    shift
    rm -f "$started"
    live_user client "$LATTICE" sandbox start --audit-log "$live_dir/tmp/records" "$@" -- touch "$started" >"$live_dir/out" 2>"$live_dir/err"
    status=$?
    if [ $status -eq 0 ] && [ -e "$started" ]; then
        ok "positive control: $what"
    else
        not_ok "positive control: $what (status $status)"
        sed 's/^/#   /' "$live_dir/err" | tail -n 5
    fi
}
# conf SED-EXPRESSION: a spoiled copy of the right wg-quick file
conf() {
    sed -E "$1" "$live_dir/client.conf" >"$live_dir/tmp/bad.conf"
    chmod a+r "$live_dir/tmp/bad.conf"
}
policy() {
    cat >"$live_dir/tmp/policy.json"
    chmod a+r "$live_dir/tmp/policy.json"
}

accepted "a right wg-quick file" --wg "$live_dir/client.conf"
refused "a missing wg-quick file" 'nowhere.conf.*([Nn]o such file)' --wg "$live_dir/nowhere.conf"
conf 's/^PrivateKey = .*/PrivateKey = short/'
refused "a short private key: file and line" 'bad\.conf:2' --wg "$live_dir/tmp/bad.conf"
conf '/^PrivateKey/d'
refused "no private key" 'bad\.conf.*PrivateKey' --wg "$live_dir/tmp/bad.conf"
conf 's/^AllowedIPs = .*/AllowedIPs = 10.0.0.0\/33/'
refused "a prefix too long: file and line" 'bad\.conf:[0-9]+' --wg "$live_dir/tmp/bad.conf"
conf 's/^Endpoint = .*/Endpoint = 192.0.2.2:70000/'
refused "an endpoint's port too large" 'bad\.conf:[0-9]+' --wg "$live_dir/tmp/bad.conf"
conf 's/^MTU = .*/Mtoo = 1420/'
refused "an unknown key" 'bad\.conf:[0-9]+.*Mtoo' --wg "$live_dir/tmp/bad.conf"
conf 's/^\[Peer\]/[Peel]/'
refused "an unknown section" 'bad\.conf:[0-9]+.*Peel' --wg "$live_dir/tmp/bad.conf"
conf "s|^DNS = .*|PostUp = touch $live_dir/tmp/postup|"
accepted "PostUp is no error" --wg "$live_dir/tmp/bad.conf"
contains "… but a warning" 'PostUp' "$live_dir/err"
check "… and was not run" test ! -e "$live_dir/tmp/postup"
head -c 3000 /dev/urandom >"$live_dir/tmp/bad.conf" && chmod a+r "$live_dir/tmp/bad.conf"
refused "random bytes as a wg-quick file" 'bad\.conf' --wg "$live_dir/tmp/bad.conf"

policy <<'EOF'
{"apiVersion": "lattice.dev/v1", "kind": "Policy", "spec": {"egress": {"allow": ["198.51.100.1:443"]}}}
EOF
accepted "a right policy file" --offline --policy "$live_dir/tmp/policy.json"
policy <<'EOF'
{"apiVersion": "lattice.dev/v1",
 "kind": "Policy",
 "spec": {"egress": {"allow": ["198.51.100.1:443",
                               "198.51.100.1:99999"]}}}
EOF
refused "a rule in a policy file: file and line" 'policy\.json:4' --offline --policy "$live_dir/tmp/policy.json"
policy <<'EOF'
{"apiVersion": "lattice.dev/v1", "kind": "Policy",
 "spec": {"egress": {"allow": ["198.51.100.1:443"}
EOF
refused "broken JSON: file and line" 'policy\.json:2' --offline --policy "$live_dir/tmp/policy.json"
policy <<'EOF'
{"apiVersion": "lattice.dev/v2", "kind": "Policy", "spec": {}}
EOF
refused "another apiVersion" 'policy\.json.*lattice\.dev/v1' --offline --policy "$live_dir/tmp/policy.json"
policy <<'EOF'
{"apiVersion": "lattice.dev/v1", "kind": "Policy", "spec": {"egress": {"alow": []}}}
EOF
refused "an unknown key of a policy" 'policy\.json.*alow' --offline --policy "$live_dir/tmp/policy.json"
policy </dev/null
refused "an empty policy file" 'policy\.json' --offline --policy "$live_dir/tmp/policy.json"
refused "a missing policy file" 'nowhere\.json' --offline --policy "$live_dir/nowhere.json"

accepted "a right rule" --offline --allow api.example.test:443
refused "a rule without a port" 'api\.example\.test.*port|column' --offline --allow api.example.test
refused "a rule with a port too large" '65536' --offline --allow 198.51.100.1:65536
refused "a rule with a bad address" '300\.1\.1\.1|column' --offline --allow 300.1.1.1:80
refused "an empty rule" "allow" --offline --allow ''
refused "a deny rule that cannot be parsed" 'deny' --offline --deny 'x y:1'
refused "an unknown option" 'allowed' --offline --allowed 198.51.100.1:80
refused "two ways out at once" 'exclude' --offline --direct
refused "a log that cannot be written" 'nowhere' --offline --audit-log /nowhere/at/all/log
live_done
