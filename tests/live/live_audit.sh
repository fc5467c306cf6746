#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: one JSON line per decision and per closed flow, with the fields that the documentation names
# and the right byte counts, written by another process than the supervisor, for the owner's eyes only.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
# shellcheck disable=SC2154 # set by live_servers
live_world
live_servers
live_dns
live_gateway
log=$live_dir/sandbox.jsonl
py=(/usr/bin/python3 "$LIVE_SUPPORT/client.py")
text=$(head -c 5000 /dev/zero | tr '\0' x)

rm -f "$log"
sandbox --name audited --allow "$SERVER4:$tcp_port" --allow "udp://$SERVER4:$udp_port" --allow "www.example.test:$http_port" -- bash -c '
    "$0" "$1" tcp "$2" "$3" "$5" >/dev/null
    "$0" "$1" udp "$2" "$4" "$5" >/dev/null
    curl -4 -sS -o /dev/null "http://www.example.test:$6/small"
    "$0" "$1" tcp "$2" 9 denied
    exit 5' "${py[0]}" "${py[1]}" $SERVER4 "$tcp_port" "$udp_port" "$text" "$http_port" >"$live_dir/out" 2>"$live_dir/err"
equal "the agent's exit status" 5 $?
equal "the log is the owner's alone" 600 "$(stat -c %a "$log")"
cat >"$live_dir/tmp/judge.py" <<'EOF'
import json, sys
log, tcp, udp, http, address = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
records = [r for r in map(json.loads, open(log)) if "kind" in r]  # not the chain's own lines
failed = []

def judge(what, good, seen=None):
    print(("ok - " if good else "not ok - ") + what + ("" if good else f": {seen}"))

def of(kind, **fields):
    return [r for r in records if r["kind"] == kind and all(r.get(k) == v for k, v in fields.items())]

judge("first line is the start, last the stop", records[0]["kind"] == "start" and records[-1]["kind"] == "stop",
      [r["kind"] for r in records])
judge("the stop has the exit status", records[-1].get("exit_status") == 5, records[-1])
need = {"kind", "time", "identity", "verdict", "protocol", "dst_ip", "dst_port", "pid", "exe", "rule", "reason"}
decisions = of("decision")
lacking = [(sorted(need - set(r)), r) for r in decisions if r["protocol"] != "dns" and not need - {"rule"} <= set(r)]
judge("each decision has " + ", ".join(sorted(need - {"rule"})), not lacking, lacking[:1])
judge("each names the sandbox", all(r["identity"] == "audited" for r in records), {r["identity"] for r in records})
for protocol, port, what in (("tcp", tcp, "TCP echo"), ("udp", udp, "UDP echo"), ("tcp", http, "http")):
    seen = of("decision", protocol=protocol, dst_ip=address, dst_port=port)
    judge(f"{what}: one decision, allowed, by a rule", len(seen) == 1 and seen[0]["verdict"] == "allow" and seen[0].get("rule"), seen)
    flows = of("flow", protocol=protocol, dst_ip=address, dst_port=port)
    judge(f"{what}: one closed flow", len(flows) == 1, flows)
    if len(flows) == 1 and port in (tcp, udp):
        judge(f"{what}: 5000 bytes each way", (flows[0]["bytes_out"], flows[0]["bytes_in"]) == (5000, 5000), flows[0])
    if len(flows) == 1:
        judge(f"{what}: a duration", flows[0].get("duration_ms", -1) >= 0, flows[0])
    if len(flows) == 1 and port == http:
        judge("http: bytes in are head and 1024 of body", 1024 < flows[0]["bytes_in"] < 2048, flows[0])
        judge("http: the record has the name", seen[0].get("name") == "www.example.test" == flows[0].get("name"), (seen, flows))
        judge("http: the executable is curl", flows[0].get("exe", seen[0]["exe"]).endswith("/curl"), flows)
denied = of("decision", protocol="tcp", dst_ip=address, dst_port=9)
judge("the denied one: one decision, drop, no rule", len(denied) == 1 and denied[0]["verdict"] == "drop"
      and denied[0]["reason"] == "no_rule", denied)
judge("… and no flow", not of("flow", dst_port=9), of("flow", dst_port=9))
EOF
/usr/bin/python3 "$live_dir/tmp/judge.py" "$log" "$tcp_port" "$udp_port" "$http_port" $SERVER4 >"$live_dir/judged" 2>&1
status=$?
cat "$live_dir/judged"
if [ $status -ne 0 ] || grep -q '^not ok' "$live_dir/judged"; then
    not_ok "the records can be judged"
    sed 's/^/#   /' "$log"
fi
contains "the gateway's records name the peer's key" "$(literally "$live_client_pub")" "$live_dir/gateway.jsonl"
lacks "no private key is in any record or message" "$(literally "$(sed -n 's/^PrivateKey = //p' "$live_dir/client.conf")")" "$live_dir/sandbox.jsonl"

# What cannot be recorded is not allowed. Between two exchanges nobody, the auditor's writer (which its
# keeper replaces), or keeper and writer are killed. In the last case the second exchange must not arrive.
decisions() {
    grep '"kind":"decision"' "$log" | grep -c "\"dst_port\":$tcp_port,"
}
# auditor_below PID: the auditor process whose parent is PID
auditor_below() {
    # grep goes on where a process ended meanwhile; awk by itself would stop there
    grep -hsE '^(Name|Pid|PPid):' /proc/[0-9]*/status | awk -v parent="$1" '
        $1 == "Name:" { is_auditor = $2 == "lattice-audit" }
        $1 == "Pid:" { pid = $2 }
        $1 == "PPid:" && is_auditor && $2 == parent { print pid; exit }'
}
two_exchanges() {
    local writer='' keeper=''
    rm -f "$live_dir/tmp/up" "$live_dir/tmp/go" "$log"
    mkfifo "$live_dir/tmp/up" "$live_dir/tmp/go"
    chmod a+rw "$live_dir/tmp/up" "$live_dir/tmp/go"
    exec 4<>"$live_dir/tmp/up" 6<>"$live_dir/tmp/go"
    "${LIVE_USER[@]}" "$LATTICE" sandbox start --wg "$live_dir/client.conf" --audit-log "$log" --allow "$SERVER4:$tcp_port" -- bash -c '
        "$0" "$1" tcp "$2" "$3" before >/dev/null || exit 1
        echo first >"$4"
        read -r _ <"$5"
        "$0" "$1" tcp "$2" "$3" after >/dev/null || exit 3
        exit 0' "${py[@]}" $SERVER4 "$tcp_port" "$live_dir/tmp/up" "$live_dir/tmp/go" >/dev/null 2>"$live_dir/err" &
    local pid=$!
    live_pids+=("$pid")
    read -r -t "$LIVE_WAIT_S" _ <&4 || echo "the first exchange failed" >>"$live_dir/err"
    if [ "$1" != nobody ]; then
        keeper=$(auditor_below "$pid")
        [ -z "$keeper" ] || writer=$(auditor_below "$keeper")
        if [ -z "$writer" ]; then
            not_ok "below the supervisor is the auditor's keeper, below that its writer ($pid, $keeper, $writer)"
        elif [ "$1" = writer ]; then
            kill -KILL "$writer"
        else
            kill -KILL "$keeper" "$writer"
        fi
    fi
    echo go >&6
    wait "$pid"
    exchanges=$?
    exec 4>&- 6>&-
}
two_exchanges nobody
equal "positive control: with the auditor alive both exchanges pass, two decisions are recorded" "0 2" "$exchanges $(decisions)" ||
    tail -n 5 "$live_dir/err"
two_exchanges writer
equal "with its writer killed both pass, and both are recorded" "0 2" "$exchanges $(decisions)" || tail -n 5 "$live_dir/err"
before=$(grep -c "^accept tcp-echo $GATEWAY_OUT4" "$live_dir/servers.log")
two_exchanges both
check "with keeper and writer killed the sandbox fails closed (status $exchanges)" test $exchanges -ne 0
live_user server "${py[@]}" tcp $SERVER4 "$tcp_port" fence >/dev/null
equal "… and only the first exchange reached the server" $((before + 1)) "$(grep -c "^accept tcp-echo $GATEWAY_OUT4" "$live_dir/servers.log")"

# A connection to the host's own loopback that no rule allows leaves a record, and repeated ones their number.
live_start host client '^ready ' /usr/bin/python3 -c '
import socket
s = socket.create_server(("127.0.0.1", 0))
print("ready", s.getsockname()[1], flush=True)
while True:
    s.accept()'
port=${live_line#ready }
knock='import errno, socket, sys
seen = []
for _ in range(20):
    with socket.socket() as s:
        seen.append(errno.errorcode.get(s.connect_ex(("127.0.0.1", int(sys.argv[1]))), "reached"))
print(*sorted(set(seen)))'
# knocking OPTIONS…: knock twenty times, from a sandbox beside the listener
knocking() {
    rm -f "$log"
    live_user client "$LATTICE" sandbox start --direct --audit-log "$log" "$@" -- /usr/bin/python3 -c "$knock" "$port" 2>"$live_dir/err"
    grep "\"dst_port\":$port," "$log" | grep '"kind":"decision"' >"$live_dir/tmp/knocks"
}
equal "positive control: a rule that names it reaches the host's loopback" reached "$(knocking --allow "127.0.0.1:$port")"
equal "… and each connection is recorded" 20 "$(grep -c '"verdict":"allow"' "$live_dir/tmp/knocks")"
equal "without the rule it is refused" ECONNREFUSED "$(knocking)"
equal "… with one record for the first and one for the rest" 2 "$(grep -c '"verdict":"drop"' "$live_dir/tmp/knocks")"
contains "… the first says what would allow it" "--allow '127.0.0.1:$port'" "$live_dir/tmp/knocks"
contains "… the last says how many there were" "refused 19 more times" "$live_dir/tmp/knocks"
equal "a rule that denies it refuses it" ECONNREFUSED "$(knocking --allow '127.0.0.1:*' --deny "127.0.0.1:$port")"
contains "… and the record names that rule" "\"rule\":\"[^\"]*127.0.0.1:$port" "$live_dir/tmp/knocks"
live_done
