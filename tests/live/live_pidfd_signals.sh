#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: pidfd_send_signal(2) inside is the kernel's, also where the kernel does not keep signals inside
# (no Landlock, or before ABI 6) and the supervisor has to judge it; and our own processes are out of its
# reach (C4). The control: natively a parent and its parent are signalled so.
. "$(dirname "$0")/../support/live.sh"
live_enter "$@"

helpers=${LATTICE_HELPERS:-$LATTICE_BIN/../tests}
script=$LATTICE_SOURCE/tests/support/pidfd_signals.py
d=$live_dir/tmp
# A parent and a grandparent of the same user, as the guardian and the supervisor are.
live_user client sh -c 'sh -c "\"\$@\"; true" sh "$@"; true' sh /usr/bin/python3 "$script" parent grandparent >"$live_dir/native" 2>&1
equal "natively parents are within reach, and can own descriptors" 8 "$(grep -cE '^(guarded|owner) .*	0$' "$live_dir/native")"
sed -i -E 's/^(guarded .*)	[^	]*$/\1	EPERM/' "$live_dir/native"

for place in sandbox only-landlock no-landlock; do
    wrapper=()
    [ $place = sandbox ] || wrapper=("$helpers/dockerlike" --$place --)
    live_user client "${wrapper[@]}" "$LATTICE" sandbox start --offline --audit-log "$d/records" -- \
        /usr/bin/python3 "$script" parent grandparent >"$live_dir/$place" 2>"$live_dir/$place.err"
    apart='^owner '
    [ $place != no-landlock ] || apart='^own' # that ioctl needs a duplicate of the socket
    # Landlock's scope lets them be owners, and keeps the signals away.
    [ $place = sandbox ] || equal "$place: they cannot own descriptors" 6 "$(grep -c '^owner .*	EPERM$' "$live_dir/$place")"
    if diff <(grep -vE "$apart" "$live_dir/native") <(grep -vE "$apart" "$live_dir/$place") >"$live_dir/diff"; then
        ok "$place: $(wc -l <"$live_dir/$place") results as natively, our own processes refused"
    else
        not_ok "$place: as natively, but for our own processes"
        sed 's/^/#   /' "$live_dir/diff" "$live_dir/$place.err"
    fi
done
live_done
