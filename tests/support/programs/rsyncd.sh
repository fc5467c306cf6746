#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rsyncd.sh CONFIG: a daemon on port 8730 whose log goes to standard output. Through a pipe of our own:
# the daemon opens its log by name, and our output may belong to somebody else.
exec rsync --daemon --no-detach --port=8730 --config="$1" --log-file=/dev/stdout > >(exec cat)
