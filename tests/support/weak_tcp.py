# SPDX-License-Identifier: Apache-2.0
"""weak_tcp.py DEVICE ADDRESS PORT: a host behind a TUN device whose sequence numbers and packet
numbers are counters: the control of tests that rate them. It answers a SYN to PORT with a SYN-ACK,
another with a reset, an echo request with its reply, and keeps no state. Prints "ready"."""

import fcntl
import socket
import struct
import subprocess
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
SYN, RST, ACK = 2, 4, 16


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(number, protocol, src, dst, payload):
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), number, 0, 64, protocol, 0, src, dst)
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def answer_tcp(raw, src, dst, port, isn):
    sport, dport, seq, _, _, flags = struct.unpack("!HHIIBB", raw[:14])
    if flags & RST or not flags & SYN:
        return None
    if dport == port:
        options = struct.pack("!BBH", 2, 4, 1400)
        numbers = (isn, seq + 1 & 0xFFFFFFFF, 6 << 4, SYN | ACK, 65535)
    else:
        options = b""
        numbers = (0, seq + 1 & 0xFFFFFFFF, 5 << 4, RST | ACK, 0)
    segment = struct.pack("!HHIIBBHHH", dport, sport, *numbers, 0, 0) + options
    pseudo = dst + src + struct.pack("!BBH", 0, 6, len(segment))
    return segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]


def main():
    device, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    tun = open("/dev/net/tun", "r+b", buffering=0)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", device, "up"], check=True)
    subprocess.run(["ip", "route", "add", address, "dev", device], check=True)
    print("ready", flush=True)
    number, isn = 1, 1000
    while True:
        raw = tun.read(65536)
        if len(raw) < 28 or raw[0] >> 4 != 4 or raw[16:20] != socket.inet_aton(address):
            continue
        body = raw[(raw[0] & 15) * 4:]
        reply = None
        if raw[9] == 6 and len(body) >= 20:
            isn = isn + 64000 & 0xFFFFFFFF
            reply = answer_tcp(body, raw[12:16], raw[16:20], port, isn)
        elif raw[9] == 1 and body[0] == 8:
            reply = b"\0\0\0\0" + body[4:]
            reply = reply[:2] + struct.pack("!H", checksum(reply)) + reply[4:]
        if reply is not None:
            number = number + 1 & 0xFFFF
            tun.write(packet(number, raw[9], raw[16:20], raw[12:16], reply))


main()
