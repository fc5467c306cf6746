#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A long deterministic byte stream that costs little: a random-looking block, numbered each time, so
that a lost, doubled or reordered block changes the digest.

usage: live_stream.py N           write N bytes to standard output
       live_stream.py --sha256 N  print their SHA-256
"""
import hashlib
import sys

BLOCK = 1 << 18
TAIL = hashlib.shake_256(b"lattice live stream").digest(BLOCK - 8)


def blocks(count):
    number = 0
    while count > 0:
        block = number.to_bytes(8, "big") + TAIL
        yield block[:count]
        count -= len(block)
        number += 1


def main():
    count = int(sys.argv[-1])
    if sys.argv[1] == "--sha256":
        digest = hashlib.sha256()
        for block in blocks(count):
            digest.update(block)
        print(digest.hexdigest())
        return
    for block in blocks(count):
        sys.stdout.buffer.write(block)


if __name__ == "__main__":
    main()
