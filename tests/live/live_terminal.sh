#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: an interactive agent has a terminal of its own, with job control, sizes and keys as on the
# user's, which is given back as it was. The same typing goes first to a shell without a sandbox.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

drive=$LIVE_SUPPORT/terminal_drive.py
live_user client /usr/bin/python3 "$drive" sh -i >"$live_dir/outside" 2>&1
equal "outside, all but a terminal of its own" 6 "$(grep -c '^ok - ' "$live_dir/outside")"

# The status is 99 when line editing is not switched on again afterwards.
cat >"$live_dir/tmp/session" <<E2
$LATTICE sandbox start --offline --audit-log $live_dir/tmp/records -- sh -i
status=\$?
stty -a | grep -q ' icanon' && stty -a | grep -q ' echo ' || exit 99
exit \$status
E2
live_user client /usr/bin/python3 "$drive" sh "$live_dir/tmp/session" >"$live_dir/inside" 2>&1
equal "inside, everything" 7 "$(grep -c '^ok - ' "$live_dir/inside")" || cat "$live_dir/inside"
live_done
