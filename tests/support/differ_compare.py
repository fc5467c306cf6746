#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compare what differ said natively and inside, line by line.

    differ_compare.py FOLDER EXCEPTIONS CASE...

FOLDER has CASE.native and CASE.inside. EXCEPTIONS has a row for each known difference: case, native
line, inside line, reason, separated by tabs. One result line for each case, "ok" or "not ok"; a row
that no line needed is a result of its own, so that the list does not outlive its reasons.
"""
import sys


def read_rows(path):
    rows = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                case, native, inside, reason = line.rstrip("\n").split("\t")
                rows[case, native, inside] = reason
    return rows


def read_lines(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read().splitlines()


def main():
    folder, rows = sys.argv[1], read_rows(sys.argv[2])
    used, failed = set(), False
    for case in sys.argv[3:]:
        native = read_lines(f"{folder}/{case}.native")
        inside = read_lines(f"{folder}/{case}.inside")
        lost = []
        for n, i in zip(native, inside):
            if n == i:
                continue
            key = (case, n, i)
            used.add(key)
            if key not in rows:
                lost.append(f"#   native: {n}\n#   inside: {i}")
        if len(native) != len(inside) or not native:
            lost.append(f"#   native: {len(native)} lines, inside: {len(inside)}")
        known = sum(1 for k in used & rows.keys() if k[0] == case)
        if lost:
            failed = True
            print(f"not ok - {case}: {len(lost)} of {len(native)} lines differ")
            print("\n".join(lost[:30]))
        else:
            print(f"ok - {case}: {len(native)} lines" + (f", known differences: {known}" if known else ""))
    stale = [k for k in rows if k[0] in sys.argv[3:] and k not in used]
    for key in stale:
        failed = True
        print(f"not ok - {key[0]}: the known difference '{key[1]}' / '{key[2]}' is no more")
    return 1 if failed else 0


sys.exit(main())
