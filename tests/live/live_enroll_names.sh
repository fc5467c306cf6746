#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: an enrolled sandbox on another host than latticed (TLS) and the gateway reaches what its
# identity names, by name; the gateway holds it to that even when the sandbox does not: a name opens only the
# addresses that the gateway's own DNS answered, to that agent, and only on its port.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
# shellcheck disable=SC2154 # set by live_servers
[ -x "$LATTICE_BIN/latticed" ] || live_skip_all "latticed is not built"
command -v dnsmasq >/dev/null || live_skip_all "dnsmasq is missing"
live_world
live_servers
live_dns --host-record="rebound.example.test,127.0.0.1" --host-record="latticed.example.test,$GATEWAY4"
LATTICED=$LATTICE_BIN/latticed
if ! "${LIVE_USER[@]}" test -x "$LATTICED"; then
    install -m 755 "$LATTICED" "$live_dir/latticed"
    LATTICED=$live_dir/latticed
fi

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=latticed" \
    -addext "subjectAltName=IP:$GATEWAY4,DNS:latticed.example.test" -keyout "$live_dir/latticed.key" -out "$live_dir/latticed.pem" >/dev/null 2>&1 ||
    live_die "a certificate for latticed"
chmod a+r "$live_dir"/latticed.*
live_start latticed gateway 'serving on port' "$LATTICED" --data "$live_dir/tmp/data" --listen $GATEWAY4:0 \
    --tls-cert "$live_dir/latticed.pem" --tls-key "$live_dir/latticed.key" --no-nats
ca=(--ca-file "$live_dir/latticed.pem")
url=https://$GATEWAY4:$(grep -oE 'port [0-9]+' <<<"$live_line" | cut -d' ' -f2)
live_start follower gateway 'the peers are as latticed has them' env LATTICE_CONFIG_DIR="$live_dir/tmp/gateway" \
    "$LATTICE" gateway --server-url "${url/$GATEWAY4/latticed.example.test}" "${ca[@]}" --token-file "$live_dir/tmp/data/gateway-token" \
    --audit-log "$live_dir/tmp/gateway.jsonl" --verbose

# token NAME RULE…: an enrolment token in $token
token() {
    local name=$1 rules=()
    shift
    for rule; do rules+=(--destination "$rule"); done
    token=$(live_user gateway "$LATTICE" token create --server-url "$url" "${ca[@]}" \
        --token-file "$live_dir/tmp/data/admin-token" --namespace team --agent-name "$name" "${rules[@]}" --json |
        /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])')
    [ -n "$token" ] || live_die "an enrolment token for $name"
}
# agent NAME OPTIONS… -- CMD…
agent() {
    local name=$1
    shift
    live_user client env LATTICE_CONFIG_DIR="$live_dir/tmp/$name" "$LATTICE" sandbox start --name "$name" \
        --server-url "$url" "${ca[@]}" --audit-log "$live_dir/tmp/$name.jsonl" "$@"
}

live_user client curl -sS -m 2 "http://$SERVER4:$http_port/small" >/dev/null 2>&1
equal "positive control: without a tunnel there is no way to the server" 7 $?

live_user client env LATTICE_CONFIG_DIR="$live_dir/tmp/nobody" "$LATTICE" sandbox start --name nobody --server-url "$url" \
    --token x --audit-log "$live_dir/tmp/nobody.jsonl" -- true >"$live_dir/out" 2>"$live_dir/err"
equal "a latticed whose certificate nobody vouches for is not believed" 125 $?
contains "… and the message says so" 'certificate' "$live_dir/err"

token reader "allow www.example.test:$http_port"
agent reader --token "$token" -- sh -c "curl -sS -m 10 http://www.example.test:$http_port/small; echo status=\$?" \
    >"$live_dir/out" 2>"$live_dir/err" || sed 's/^/# /' "$live_dir/err"
contains "an agent on another host enrols and reaches a page by its name" 'plaintext-canary' "$live_dir/out"
contains "… which the server saw come from the gateway" "^http $GATEWAY_OUT4 GET /small" "$live_dir/servers.log"
agent reader -- sh -c "curl -sS -m 5 http://v4.example.test:$http_port/small; echo other=\$?
    curl -sS -m 5 http://$SERVER4:$http_port/small; echo address=\$?
    curl -sS -m 5 http://rebound.example.test:$http_port/; echo rebound=\$?
    getent ahostsv4 lattice.internal
    $LATTICE delegate --json helper" >"$live_dir/out" 2>"$live_dir/err"
contains "another name of the same server is refused" '^other=6' "$live_dir/out"
contains "… and its bare address, before the name was asked for" '^address=7' "$live_dir/out"
contains "… and a name that the identity does not have" '^rebound=6' "$live_dir/out"
contains "it delegates through the gateway, which asks latticed over TLS" 'lt-delegate-' "$live_dir/out"
contains "lattice.internal is the gateway" '^10\.100\.0\.1 ' "$live_dir/out"

# The same key in a sandbox that judges nothing: now the gateway is alone.
token wild "allow www.example.test:$http_port" "allow rebound.example.test:*"
agent wild --token "$token" -- true || live_die "the second agent enrols"
live_user client /usr/bin/python3 - "$live_dir/tmp/wild" "$url" "$live_dir/tmp/wild.conf" "$live_dir/latticed.pem" <<'PY' || live_die "its tunnel as a file"
import json, pathlib, ssl, sys, urllib.request
folder = pathlib.Path(sys.argv[1])
ask = urllib.request.Request(sys.argv[2] + "/api/v1/agent-isolation/self",
                             headers={"Authorization": "Bearer " + (folder / "agent" / "token").read_text()})
me = json.load(urllib.request.urlopen(ask, context=ssl.create_default_context(cafile=sys.argv[4])))["data"]
key = json.loads((folder / "sandbox-credentials.json").read_text())["privateKey"]
out = pathlib.Path(sys.argv[3])
out.touch(0o600)
out.write_text(f"[Interface]\nPrivateKey = {key}\nAddress = {me['agent']['peerIP']}/32\nDNS = 10.100.0.1\n[Peer]\n"
      f"PublicKey = {me['gateway']['publicKey']}\nEndpoint = {me['gateway']['endpoint']}\nAllowedIPs = 0.0.0.0/0\n")
PY
cat >"$live_dir/tmp/probe.sh" <<EOF
curl -sS -m 5 http://$SERVER4:$http_port/small >/dev/null; echo before=\$?
curl -sS -m 5 http://www.example.test:$http_port/small >/dev/null; echo name=\$?
curl -sS -m 5 http://$SERVER4:$http_port/small >/dev/null; echo after=\$?
curl -sS -m 5 http://$SERVER4:$tcp_port/ >/dev/null; echo port=\$?
curl -sS -m 5 http://v4.example.test:$http_port/small >/dev/null; echo other=\$?
getent ahostsv4 rebound.example.test; echo rebound=\$?
EOF
live_user client "$LATTICE" sandbox start --wg "$live_dir/tmp/wild.conf" --allow '*:*' --allow '10.100.0.1:*' \
    --audit-log "$live_dir/tmp/wild.jsonl" -- sh "$live_dir/tmp/probe.sh" >"$live_dir/out" 2>"$live_dir/err" ||
    sed 's/^/# /' "$live_dir/err"
contains "a sandbox that judges nothing: the bare address is refused by the gateway" '^before=(7|56)' "$live_dir/out"
contains "… the name is answered, and reached" '^name=0' "$live_dir/out"
contains "… by which its address is open, as the gateway's answers say" '^after=0' "$live_dir/out"
contains "… on its port only" '^port=(7|56)' "$live_dir/out"
contains "… and another name is not answered" '^other=6' "$live_dir/out"
contains "… nor one that leads to an address of the built-in list" '^rebound=2' "$live_dir/out"
lacks "… which is not told" '^127\.' "$live_dir/out"
contains "the gateway's records name the agent" '"identity":"wild".*"verdict":"drop".*"reason":"name_unpinned"' \
    "$live_dir/tmp/gateway.jsonl"
live_done
