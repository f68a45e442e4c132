"""Joins an untagged interface and a tagged one, as a switch's port does: PLAIN TRUNK VLAN."""

import select
import socket
import struct
import sys

PACKET_AUXDATA = 8
SOL_PACKET = 263
OUTGOING = 4
VLAN_VALID = 0x10


def opened(device):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    raw.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    raw.bind((device, 0))
    return raw


def tag_of(ancillary):
    """The tag that the kernel has taken off, with its priority."""
    for level, kind, data in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, control, _ = struct.unpack("IIIHHHH", data[:20])
            return control if status & VLAN_VALID else None
    return None


plain, trunk = opened(sys.argv[1]), opened(sys.argv[2])
vlan = int(sys.argv[3])
print("ready", flush=True)
while True:
    for raw in select.select([plain, trunk], [], [])[0]:
        frame, ancillary, _, sender = raw.recvmsg(65536, 256)
        if sender[2] == OUTGOING:
            continue
        tag = tag_of(ancillary)
        if raw is plain:
            trunk.send(frame[:12] + struct.pack("!HH", 0x8100, vlan) + frame[12:])
        elif tag is not None and tag & 0xFFF == vlan:
            plain.send(frame)
