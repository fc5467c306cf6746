#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# socat_echo.sh tcp|udp PORT: socat says back what it hears, over both families.
case $1 in
tcp) exec socat -d -d "TCP6-LISTEN:$2,fork,ipv6only=0,reuseaddr" EXEC:cat ;;
udp) exec socat -d -d "UDP6-RECVFROM:$2,fork,ipv6only=0" EXEC:cat ;;
esac
