#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# socat_echo.sh tcp|udp PORT: socat says back what it hears, over both families. After the end of what it hears
# it would wait half a second for cat, which a slow machine needs to start it.
wait=(-t "${LIVE_WAIT_S:-30}")
case $1 in
tcp) exec socat "${wait[@]}" -d -d "TCP6-LISTEN:$2,fork,ipv6only=0,reuseaddr" EXEC:cat ;;
udp) exec socat "${wait[@]}" -d -d "UDP6-RECVFROM:$2,fork,ipv6only=0" EXEC:cat ;;
esac
