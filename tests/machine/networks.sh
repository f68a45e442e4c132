#!/bin/bash
# Lays the networks of a consumer and a provider, with hosts in namespaces, and starts the
# provider's server.
set -eu

segment() { # name, the host's address, the gateway's own address
    ip netns add "$1"
    ip link add "veth-$1" type veth peer name eth0 netns "$1"
    ip address add "$3" dev "veth-$1"
    ip link set "veth-$1" up
    ip -n "$1" link set lo up
    ip -n "$1" address add "$2" dev eth0
    ip -n "$1" link set eth0 up
    # A veth takes redirected frames only if its peer polls, and nothing fills in a checksum that
    # is left to hardware.
    ip netns exec "$1" ethtool -K eth0 gro on tx off >/dev/null
}

segment acme 10.1.0.2/16 10.1.0.1/16
segment vendor 10.0.0.10/16 10.0.0.1/16
