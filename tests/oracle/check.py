"""Recomputes checksums and lengths of frames with scapy, which shares no code with ours.

Reads lines of "NAME<tab>HEX" and prints one line for each frame that scapy would have built
otherwise. Ends with 1 if there is one, or if there was no frame at all.
"""

import sys

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPerror6,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether

# What a sender computes, by layer.
COMPUTED = {
    IP: ("ihl", "len", "chksum"),
    IPv6: ("plen",),
    TCP: ("dataofs", "chksum"),
    UDP: ("len", "chksum"),
    ICMP: ("chksum",),
    ICMPv6EchoReply: ("cksum",),
    ICMPv6DestUnreach: ("cksum",),
    ICMPv6PacketTooBig: ("cksum",),
    ICMPv6TimeExceeded: ("cksum",),
    ICMPv6ParamProblem: ("cksum",),
    ICMPv6ND_NS: ("cksum",),
    ICMPv6ND_NA: ("cksum",),
}


# The same in a packet that an error quotes; lengths in it are those of the whole packet.
QUOTED = {IPerror: ("chksum",), TCPerror: ("chksum",), UDPerror: ("chksum",)}


def quotes_all(packet):
    """Whether an error quotes all of the packet, so that scapy can compute its checksums."""
    if IPerror in packet:
        return len(packet[IPerror]) == packet[IPerror].len
    if IPerror6 in packet:
        return len(packet[IPerror6]) == packet[IPerror6].plen + 40
    return False


def rebuilt(frame):
    """The frame with everything that is computed left to scapy."""
    packet = Ether(frame)
    computed = {**COMPUTED, **QUOTED} if quotes_all(packet) else COMPUTED
    for layer, fields in computed.items():
        if layer not in packet:
            continue
        if layer is UDP and IP in packet and packet[UDP].chksum == 0:
            # Sent without a checksum, which only IPv4 allows.
            fields = ("len",)
        if layer is UDPerror and packet[UDPerror].chksum == 0:
            continue
        for field in fields:
            packet[layer].delfieldval(field)
    return packet, bytes(packet)


def main():
    frames = quotes = faults = 0
    for line in sys.stdin:
        name, text = line.rstrip("\n").split("\t")
        frame = bytes.fromhex(text)
        packet, wanted = rebuilt(frame)
        frames += 1
        quotes += quotes_all(packet)
        if not any(layer in packet for layer in (*COMPUTED, ARP)):
            print(f"{name}: scapy does not know what it is: {text}")
            faults += 1
        elif frame != wanted:
            print(f"{name}:\n  got    {text}\n  wanted {wanted.hex()}\n  {packet.summary()}")
            faults += 1
    print(f"{frames} frames, {quotes} with another in it, {faults} wrong")
    return 1 if faults or not frames or not quotes else 0


sys.exit(main())
