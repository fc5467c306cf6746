#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A second, independent path through the WireGuard handshake, to compare ours with.

Written from sections 5.4.1 to 5.4.6 of the paper on top of python3-cryptography and hashlib; shares
no code with netstack/wg. Prints tests/cases/wg_handshake.cases; run it again to check the file:

    tests/support/wg_reference.py | diff - tests/cases/wg_handshake.cases
"""
import hashlib
import hmac as hmac_module
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"


def hash_(data):
    return hashlib.blake2s(data).digest()


def mac(key, data):
    return hashlib.blake2s(data, key=key, digest_size=16).digest()


def hmac(key, data):
    return hmac_module.new(key, data, hashlib.blake2s).digest()


def kdf(n, key, data):
    secret, out, block = hmac(key, data), [], b""
    for i in range(1, n + 1):
        block = hmac(secret, block + bytes([i]))
        out.append(block)
    return out


def public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(
        Encoding.Raw, PublicFormat.Raw)


def dh(private, pub):
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(pub))


def aead(key, counter, plain, aad):
    return ChaCha20Poly1305(key).encrypt(b"\0\0\0\0" + struct.pack("<Q", counter), plain, aad)


def handshake(s_i, s_r, psk, e_i, e_r, timestamp, index_i, index_r):
    pub_i, pub_r = public(s_i), public(s_r)
    # Initiation, 5.4.2
    c = hash_(CONSTRUCTION)
    h = hash_(hash_(c + IDENTIFIER) + pub_r)
    eph_i = public(e_i)
    c, = kdf(1, c, eph_i)
    h = hash_(h + eph_i)
    c, k = kdf(2, c, dh(e_i, pub_r))
    static = aead(k, 0, pub_i, h)
    h = hash_(h + static)
    c, k = kdf(2, c, dh(s_i, pub_r))
    stamp = aead(k, 0, timestamp, h)
    h = hash_(h + stamp)
    init = b"\x01\0\0\0" + struct.pack("<I", index_i) + eph_i + static + stamp
    init += mac(hash_(b"mac1----" + pub_r), init) + bytes(16)
    # Response, 5.4.3
    eph_r = public(e_r)
    c, = kdf(1, c, eph_r)
    h = hash_(h + eph_r)
    c, = kdf(1, c, dh(e_r, eph_i))
    c, = kdf(1, c, dh(e_r, pub_i))
    c, tau, k = kdf(3, c, psk)
    h = hash_(h + tau)
    empty = aead(k, 0, b"", h)
    resp = b"\x02\0\0\0" + struct.pack("<II", index_r, index_i) + eph_r + empty
    resp += mac(hash_(b"mac1----" + pub_i), resp) + bytes(16)
    # Transport, 5.4.5 and 5.4.6: the initiator's packet number 7 and the responder's number 9
    k_i, k_r = kdf(2, c, b"")
    data_i = b"\x04\0\0\0" + struct.pack("<IQ", index_r, 7) + aead(k_i, 7, bytes(range(32)), b"")
    data_r = b"\x04\0\0\0" + struct.pack("<IQ", index_i, 9) + aead(k_r, 9, b"", b"")
    return init, resp, data_i, data_r


def secret(label, n):
    return hashlib.sha256(f"{label} {n}".encode()).digest()


def main():
    print("# Written by tests/support/wg_reference.py. Fields: s_i s_r psk e_i e_r (32 bytes each),")
    print("# timestamp (12), index_i, index_r (4 each, little-endian) | initiation | response |")
    print("# data from initiator (counter 7, bytes 0 to 31) | from responder (counter 9, empty)")
    for n in range(8):
        psk = secret("psk", n) if n % 2 else bytes(32)
        keys = [secret(label, n) for label in ("s_i", "s_r", "e_i", "e_r")]
        stamp = struct.pack(">QI", 0x400000000000000A + 1700000000 + n, n << 24)
        index_i, index_r = struct.unpack("<II", secret("index", n)[:8])
        out = handshake(keys[0], keys[1], psk, keys[2], keys[3], stamp, index_i, index_r)
        inputs = keys[0] + keys[1] + psk + keys[2] + keys[3] + stamp
        inputs += struct.pack("<II", index_i, index_r)
        print(" | ".join(part.hex() for part in (inputs, *out)))


if __name__ == "__main__":
    main()
