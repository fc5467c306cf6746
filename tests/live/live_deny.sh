#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: what no rule allows does not arrive. Each case runs twice: once with the rule that makes the
# destination reachable (and the server's log must show the arrival from the gateway), once without it:
# the client fails, and the server has seen nothing, which a later connection on the same listener
# proves: it is the next line of the log.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"
# shellcheck disable=SC2154 # set by live_servers
live_world
live_servers
live_dns --host-record="other.example.test,$SERVER4"
live_gateway

py=(/usr/bin/python3 "$LIVE_SUPPORT/client.py")

# arrivals KIND: lines of servers.log for arrivals of this kind from anyone, after a fence has shown.
# A fence is a native connection (or datagram) to the same listener from the server's own address.
arrivals() {
    local kind=$1 count
    case "$kind" in
    http) live_user server curl -sS -o /dev/null "http://$SERVER4:$http_port/fence" ;;
    tcp-echo) live_user server "${py[@]}" tcp $SERVER4 "$tcp_port" fence >/dev/null ;;
    udp-echo) live_user server "${py[@]}" udp $SERVER4 "$udp_port" fence >/dev/null ;;
    esac
    count=$(grep -cE "^(accept )?$kind ($GATEWAY_OUT4|$GATEWAY_OUT6)" "$live_dir/servers.log")
    echo "$count"
}

# denied WHAT KIND RULES-THAT-REACH RULES-THAT-DENY CMD…: rules are lists of options as one word.
denied() {
    local what=$1 kind=$2 reach=$3 deny=$4 before after status
    shift 4
    before=$(arrivals "$kind")
    # shellcheck disable=SC2086 # lists of options
    sandbox $reach -- "$@" >"$live_dir/out" 2>"$live_dir/err"
    status=$?
    after=$(arrivals "$kind")
    if [ $status -ne 0 ] || [ "$after" -le "$before" ]; then
        not_ok "$what: positive control: reachable with '$reach' (status $status, arrivals $before → $after)"
        sed 's/^/#   /' "$live_dir/err" | tail -n 5
        return 1
    fi
    before=$after
    # shellcheck disable=SC2086
    sandbox $deny -- "$@" >"$live_dir/out" 2>"$live_dir/err"
    status=$?
    after=$(arrivals "$kind")
    if [ $status -ne 0 ] && [ $status -ne 125 ] && [ "$after" -eq "$before" ]; then
        ok "$what"
    else
        not_ok "$what: status $status, arrivals $before → $after with '$deny'"
        sed 's/^/#   /' "$live_dir/err" | tail -n 5
        return 1
    fi
}

set -f # rules have stars
http4=(curl -sS -o /dev/null --max-time 20 "http://$SERVER4:$http_port/small")
http6=(curl -sS -o /dev/null --max-time 20 "http://[$SERVER6]:$http_port/small")
named=(curl -4 -sS -o /dev/null --max-time 20 "http://www.example.test:$http_port/small")

denied "TCP over IPv4: an empty policy denies all" http "--allow $SERVER4:$http_port" "" "${http4[@]}"
contains "… the client gets the refusal at once" '[Cc]onnection refused|[Pp]ermission denied|Couldn.t connect|Failed to connect' "$live_dir/err"
contains "… one line names program, destination and the option that would allow it" "$SERVER4:$http_port for /[^ ]*curl .*--allow .?$SERVER4:$http_port" "$live_dir/err"
denied "TCP over IPv6: an empty policy denies all" http "--allow [$SERVER6]:$http_port" "" "${http6[@]}"
contains "… one line names the destination and the option" "$SERVER6.*--allow" "$live_dir/err"
denied "another port than the rule's" http "--allow $SERVER4:$http_port" "--allow $SERVER4:$tcp_port" "${http4[@]}"
denied "a port below the rule's range" http "--allow $SERVER4:$http_port-65535" "--allow $SERVER4:$((http_port + 1))-65535" "${http4[@]}"
denied "an address outside the rule's prefix" http "--allow 198.51.100.0/30:*" "--allow 198.51.100.4/30:*" "${http4[@]}"
denied "deny wins over allow" http "--allow $SERVER4:*" "--allow $SERVER4:* --deny $SERVER4:$http_port" "${http4[@]}"
denied "deny wins over allow in the other order" http "--allow *:*" "--deny $SERVER4:$http_port --allow *:*" "${http4[@]}"
denied "a UDP rule does not allow TCP" http "--allow tcp://$SERVER4:$http_port" "--allow udp://$SERVER4:$http_port" "${http4[@]}"
denied "an allowed name, by its name" http "--allow www.example.test:$http_port" "--allow nowhere.example.test:$http_port" "${named[@]}"
denied "an allowed name says nothing about its bare address" http "--allow $SERVER4:$http_port" "--allow www.example.test:$http_port" "${http4[@]}"
denied "a denied name, though everything is allowed" http "--allow *:*" "--allow *:* --deny www.example.test:*" "${named[@]}"
denied "the wildcard does not mean the name itself" http "--allow *.example.test:$http_port" "--allow *.www.example.test:$http_port" "${named[@]}"
denied "TCP echo, python" tcp-echo "--allow $SERVER4:$tcp_port" "" "${py[@]}" tcp $SERVER4 "$tcp_port" hello
denied "UDP, connected" udp-echo "--allow udp://$SERVER4:$udp_port" "" "${py[@]}" udp $SERVER4 "$udp_port" hello
denied "UDP over IPv6" udp-echo "--allow udp://[$SERVER6]:$udp_port" "" "${py[@]}" udp $SERVER6 "$udp_port" hello
denied "UDP, sendto" udp-echo "--allow udp://$SERVER4:$udp_port" "" "${py[@]}" udp-sendto $SERVER4 "$udp_port" hello
denied "a TCP rule does not allow UDP" udp-echo "--allow udp://$SERVER4:$udp_port" "--allow $SERVER4:$udp_port" "${py[@]}" udp $SERVER4 "$udp_port" hello
denied "the metadata service, though everything is allowed" http "--allow $METADATA4:$http_port" "--allow *:*" \
    curl -sS -o /dev/null --max-time 20 "http://$METADATA4:$http_port/small"
denied "the metadata service as an IPv4-mapped IPv6 address" http "--allow $METADATA4:$http_port" "--allow *:*" \
    curl -sS -o /dev/null --max-time 20 "http://[::ffff:$METADATA4]:$http_port/small"
denied "the metadata service in audit mode" http "--audit --allow $METADATA4:$http_port" "--audit --allow *:*" \
    curl -sS -o /dev/null --max-time 20 "http://$METADATA4:$http_port/small"
# without any way out: beside the gateway, where the native client reaches the server
before=$(arrivals http)
live_user gateway "${http4[@]}" 2>"$live_dir/err"
equal "offline: positive control: natively reachable from here" "0 $((before + 2))" "$? $(arrivals http)"
live_user gateway "$LATTICE" sandbox start --offline --allow '*:*' --audit-log "$live_dir/tmp/records" -- "${http4[@]}" 2>"$live_dir/err"
check "offline: the client fails" test $? -ne 0
equal "… and nothing left" $((before + 2)) "$(arrivals http)"

# names: an asked-for name that is not allowed does not even reach the DNS server
: >"$live_dir/dns.log"
sandbox --allow "www.example.test:*" -- "${named[@]}" 2>"$live_dir/err"
contains "positive control: an allowed name is asked for" "query.* www.example.test from $GATEWAY_OUT4" "$live_dir/dns.log"
sandbox --allow "www.example.test:*" -- curl -4 -sS -o /dev/null --max-time 20 "http://other.example.test:$http_port/small" 2>"$live_dir/err"
"${LIVE_IN_server[@]}" "${LIVE_USER[@]}" /usr/bin/python3 -c 'import socket; socket.getaddrinfo("v4.example.test", 80)' # the fence
contains "positive control: a later question is in the log" "query.* v4.example.test" "$live_dir/dns.log"
lacks "a name that is not allowed is not asked for" 'other.example.test' "$live_dir/dns.log"

# audit mode: passes, and says what it would have refused
before=$(arrivals http)
rm -f "$live_dir/sandbox.jsonl"
sandbox --audit -- "${http4[@]}" 2>"$live_dir/err"
equal "audit mode lets an unlisted destination pass" 0 $?
after=$(arrivals http)
equal "… the server saw it" $((before + 2)) "$after" # one accept line, one request line
contains "… and the record says that it would have been refused" '"would_deny":true' "$live_dir/sandbox.jsonl"

# the second wall: the gateway's own policy, out of the agent's reach
live_stop "$live_pid_gateway"
live_gateway --allow "$SERVER4:$tcp_port"
before=$(arrivals http)
sandbox --allow '*:*' -- "${py[@]}" tcp $SERVER4 "$tcp_port" hello >/dev/null 2>"$live_dir/err"
equal "gateway's policy: positive control: the allowed port is reached" 0 $?
sandbox --allow '*:*' -- "${http4[@]}" 2>"$live_dir/err"
check "gateway's policy: another port fails though the sandbox allows it" test $? -ne 0
equal "… and the server saw nothing" "$before" "$(arrivals http)"
contains "… and the gateway's record says so, with the peer's key" "\"verdict\":\"drop\".*\"peer\":\"$(literally "$live_client_pub")\"" "$live_dir/gateway.jsonl"
live_done
