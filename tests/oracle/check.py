"""Recomputes checksums and lengths of frames with scapy, which shares no code with ours.

Reads lines of "NAME<tab>HEX" and prints one line for each frame that scapy would have built
otherwise. Fragments are put together by scapy first, for what only the whole
datagram tells. Ends with 1 if there is one, or if there was no frame at all.
"""

import sys

from scapy.layers.inet import (
    ICMP,
    IP,
    TCP,
    UDP,
    IPerror,
    TCPerror,
    UDPerror,
    defragment,
)
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
    IPv6ExtHdrFragment,
    defragment6,
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
    if piece(packet):
        # What the datagram's checksums are, all of its fragments together tell.
        computed = {layer: COMPUTED[layer] for layer in (IP, IPv6)}
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


def piece(packet):
    """Which datagram a fragment belongs to, where its part begins and ends, and if it is last."""
    if IPv6ExtHdrFragment in packet:
        header = packet[IPv6ExtHdrFragment]
        start, length = header.offset * 8, len(bytes(header.payload))
        key = (packet[IPv6].src, packet[IPv6].dst, header.id)
        more = header.m
    elif IP in packet:
        header = packet[IP]
        start, length = header.frag * 8, header.len - header.ihl * 4
        key = (header.src, header.dst, header.proto, header.id)
        more = "MF" in str(header.flags)
    else:
        return None
    return (key, start, start + length, not more) if start or more else None


def is_complete(parts):
    """Whether the parts of a datagram leave no gap, from its beginning to its end."""
    reached = 0
    for start, end, last in sorted(part[1:] for part in parts):
        if start != reached:
            return False
        reached = end
        if last:
            return True
    return False


def whole(packets):
    """The datagram that scapy puts together from its fragments, in a frame."""
    packets = [Ether(bytes(packet)) for packet in packets]
    ethernet = Ether(src=packets[0].src, dst=packets[0].dst)
    if IPv6 in packets[0]:
        return ethernet / defragment6([packet[IPv6] for packet in packets])
    return ethernet / defragment([packet[IP] for packet in packets])[0]


def check_datagrams(parts_of):
    """How many datagrams are complete, and how many of them scapy would have built otherwise."""
    complete = faults = 0
    for (name, _), parts in parts_of.items():
        if not is_complete(parts):
            continue
        complete += 1
        # Scapy wants fragments of IPv6 in their order.
        got = bytes(whole([packet for packet, *_ in sorted(parts, key=lambda part: part[1])]))
        _, wanted = rebuilt(got)
        if got != wanted:
            print(f"{name}, put together:\n  got    {got.hex()}\n  wanted {wanted.hex()}")
            faults += 1
    return complete, faults


def main():
    frames = quotes = faults = 0
    parts_of = {}
    for line in sys.stdin:
        name, text = line.rstrip("\n").split("\t")
        frame = bytes.fromhex(text)
        packet, wanted = rebuilt(frame)
        frames += 1
        quotes += quotes_all(packet)
        arrived = Ether(frame)
        if part := piece(arrived):
            fixture = name.rsplit(", step", 1)[0]
            parts_of.setdefault((fixture, part[0]), []).append((arrived, *part[1:]))
        if not any(layer in packet for layer in (*COMPUTED, ARP)):
            print(f"{name}: scapy does not know what it is: {text}")
            faults += 1
        elif frame != wanted:
            print(f"{name}:\n  got    {text}\n  wanted {wanted.hex()}\n  {packet.summary()}")
            faults += 1
    datagrams, wrong = check_datagrams(parts_of)
    faults += wrong
    print(f"{frames} frames, {quotes} with another in it, {datagrams} datagrams, {faults} wrong")
    return 1 if faults or not all((frames, quotes, datagrams)) else 0


sys.exit(main())
