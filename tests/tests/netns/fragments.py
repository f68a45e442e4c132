"""Sends a datagram to an endpoint as fragments, and waits for its echo; then hostile fragments.

Arguments: interface, the gateway's Ethernet address there, own address, the endpoint's address.
"""

import random
import socket
import sys

from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.sendrecv import sendp

interface, mac, own, endpoint = sys.argv[1:]
PORT = 20777
ECHO = 7
is_v6 = ":" in own
payload = bytes(random.Random(7).randrange(256) for _ in range(20_000))


def pieces(transport, number):
    """The fragments of one datagram, by scapy."""
    if not is_v6:
        return fragment(IP(src=own, dst=endpoint, id=number) / transport, fragsize=1400)
    header = IPv6(src=own, dst=endpoint) / IPv6ExtHdrFragment(id=number)
    return fragment6(header / transport, 1400)


def send(packets):
    # The size that scapy does not know yet is computed when the bytes are.
    sendp([Ether(dst=mac) / packet for packet in packets], iface=interface, verbose=False)


# The later ones in any order behind the first.
with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM) as receiver:
    receiver.bind((own, PORT))
    receiver.settimeout(10)
    first, *later = pieces(UDP(sport=PORT, dport=ECHO) / Raw(payload), 77)
    random.Random(8).shuffle(later)
    send([first, *later])
    answer, peer = receiver.recvfrom(65_536)
    assert answer == payload, f"{len(answer)} bytes of {len(payload)} came back, or others"
    assert peer[0] == endpoint, peer

# Without a first one; again once it is complete; too small; too long.
orphan = pieces(UDP(sport=PORT, dport=ECHO) / Raw(payload), 78)[1]
content = bytes(TCP(sport=PORT, dport=80, flags="S"))
if is_v6:
    base = IPv6(src=own, dst=endpoint)
    tiny = base / IPv6ExtHdrFragment(id=79, m=1, nh=6) / Raw(content[:8])
    long = base / IPv6ExtHdrFragment(id=80, offset=8191, nh=17) / Raw(bytes(64))
else:
    base = {"src": own, "dst": endpoint}
    tiny = IP(**base, id=79, flags="MF", proto=6) / Raw(content[:8])
    long = IP(**base, id=80, frag=8191, proto=17) / Raw(bytes(64))
send([orphan, later[0], tiny, long])
