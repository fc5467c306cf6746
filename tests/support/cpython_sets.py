#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compare two runs of CPython's test suite: which names passed natively but not inside the sandbox?

    cpython_sets.py NATIVE.xml INSIDE.xml EXCEPTIONS [AGAIN.xml]

EXCEPTIONS has a line for each known difference: the name, a tab, the reason. AGAIN is a second run inside: what passed in either has passed. Prints counts, exits 1
when a name is lost that is not in it, or when nothing passed natively.
"""
import os
import sys
import xml.etree.ElementTree as ET


def passed(path):
    """Names of the tests that ran and neither failed nor were skipped."""
    names = set()
    if not os.path.exists(path):
        return names
    for case in ET.parse(path).iter("testcase"):
        if case.get("result") == "completed" and all(
                case.find(k) is None for k in ("failure", "error", "skipped")):
            names.add(case.get("name"))
    return names


def main():
    native, inside = passed(sys.argv[1]), passed(sys.argv[2])
    for again in sys.argv[4:]:
        inside |= passed(again)
    known = {}
    with open(sys.argv[3], encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, reason = line.rstrip("\n").split("\t", 1)
                known[name] = reason
    lost = native - inside
    print(f"native {len(native)} inside {len(inside)} lost {len(lost - known.keys())} "
          f"known {len(lost & known.keys())}")
    for name in sorted(lost):
        print(f"{'known' if name in known else 'LOST'}: {name}"
              + (f" ({known[name]})" if name in known else ""))
    return 0 if native and not lost - known.keys() else 1


sys.exit(main())
