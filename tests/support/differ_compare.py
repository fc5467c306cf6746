#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compare what differ said natively and inside, line by line.

    differ_compare.py PLACE NATIVE INSIDE PREFIX EXCEPTIONS...

NATIVE and INSIDE are outputs of differ: cases, each after a line "== CASE"; those in INSIDE are
compared, and called PREFIX + CASE. EXCEPTIONS have a row for each known difference: case, native
line, inside line, reason, separated by tabs. One result line for each case, "ok" or "not ok"; a row
of the last file that no line needed is a result of its own, so that no list outlives its reasons.
"""
import sys


def read_rows(path):
    rows = set()
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                case, native, inside, _reason = line.rstrip("\n").split("\t")
                rows.add((case, native, inside))
    return rows


def read_cases(path):
    cases, lines = {}, None
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f.read().splitlines():
            if line.startswith("== "):
                lines = cases.setdefault(line[3:], [])
            elif lines is not None:
                lines.append(line)
    return cases


def main():
    place, prefix = sys.argv[1], sys.argv[4]
    natives, insides = read_cases(sys.argv[2]), read_cases(sys.argv[3])
    rows = [read_rows(path) for path in sys.argv[5:]]
    known_rows = set().union(*rows)
    used, failed = set(), not insides
    if not insides:
        print(f"not ok - {place}{prefix}: nothing was said inside")
    for name, inside in insides.items():
        native = natives.get(name, [])
        case, lost = prefix + name, []
        for n, i in zip(native, inside):
            if n == i:
                continue
            used.add((case, n, i))
            if (case, n, i) not in known_rows:
                lost.append(f"#   native: {n}\n#   inside: {i}")
        if len(native) != len(inside) or not native:
            lost.append(f"#   native: {len(native)} lines, inside: {len(inside)}")
        known = sum(1 for k in used & known_rows if k[0] == case)
        if lost:
            failed = True
            print(f"not ok - {place}{case}: {len(lost)} of {len(native)} lines differ")
            print("\n".join(lost[:30]))
        else:
            print(f"ok - {place}{case}: {len(native)} lines" + (f", known differences: {known}" if known else ""))
    for key in sorted(rows[-1] - used):
        if key[0].startswith(prefix) and key[0][len(prefix):] in insides:
            failed = True
            print(f"not ok - {place}{key[0]}: the known difference '{key[1]}' / '{key[2]}' is no more")
    return 1 if failed else 0


sys.exit(main())
