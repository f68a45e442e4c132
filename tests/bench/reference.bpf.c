// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The C reference: full NAT of TCP and UDP over IPv4 in one lookup of the kernel's hash map.
 *
 * It does what any established-path program of this kind has to do, without shortcuts and without
 * waste: header checks, TTL, addresses, ports and MACs from the flow's entry, both checksums by a
 * difference that was computed when the flow was made, TCP state, flow and gateway counters, idle
 * clock, devmap redirect.
 */
#include "bench.h"

enum flow_state { EMBRYONIC, ESTABLISHED, CLOSING, CLOSED };

struct flow_key {
	__be32 saddr, daddr;
	__be16 sport, dport;
	__u32 protocol;
};

/* 64 bytes: with its 48-byte header and the key, an element of the map is exactly two cache lines,
 * the header and key in one, all of the value in the other. */
struct flow {
	__be32 saddr, daddr;
	__be16 sport, dport;
	__u16 ip_delta, l4_delta;
	__u32 macs[3];
	__u32 port;
	__u32 seen;
	__u32 state;
	__u64 packets, bytes;
	__u64 reserved;
};

struct counters {
	__u64 packets, bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct flow_key);
	__type(value, struct flow);
} FLOWS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, PORT_SLOTS);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} PORTS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} COUNTERS SEC(".maps");

/* What follows the IPv4 header: the ports, and for TCP the flags. */
union transport {
	struct {
		__be16 sport, dport;
	};
	struct tcphdr tcp;
	struct udphdr udp;
};

#define TCP_FLAGS_OFFSET 13
#define FLAG_FIN 0x01
#define FLAG_SYN 0x02
#define FLAG_RST 0x04
#define FLAG_ACK 0x10

static __always_inline __u16 adjusted(__u16 check, __u16 delta)
{
	__u32 sum = (__u16)~check + (__u32)delta;

	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Tells whether a segment with these flags may pass, and moves the flow's state. */
static __always_inline int follows_state(struct flow *flow, __u8 flags)
{
	if (likely(flow->state == ESTABLISHED && !(flags & (FLAG_SYN | FLAG_FIN | FLAG_RST))))
		return 1;
	if (flow->state == CLOSED)
		return 0;
	if (flags & FLAG_RST)
		flow->state = CLOSED;
	else if (flags & FLAG_FIN)
		flow->state = CLOSING;
	else if (flow->state == EMBRYONIC && (flags & (FLAG_SYN | FLAG_ACK)) == FLAG_ACK)
		flow->state = ESTABLISHED;
	return 1;
}

#ifdef NEW_FLOWS
#include "reference_new.h"
#endif

SEC("xdp.frags")
int reference(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	union transport *l4 = (void *)(ip + 1);
	struct counters *counters;
	struct flow_key key;
	struct flow *flow;
	__u32 zero = 0, now, protocol;
	__u16 length;

	if ((void *)(&l4->udp + 1) > end || ((__be16 *)data)[6] != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	/* Version 4, no options; no fragment; a TTL that may be decremented. */
	if (*(__u8 *)ip != 0x45 || (ip->frag_off & bpf_htons(0x3fff)) || ip->ttl <= 1)
		return XDP_PASS;

	key.saddr = ip->saddr;
	key.daddr = ip->daddr;
	key.sport = l4->sport;
	key.dport = l4->dport;
	protocol = ip->protocol;
	key.protocol = protocol;
	if (protocol == IPPROTO_TCP) {
		if ((void *)(&l4->tcp + 1) > end)
			return XDP_PASS;
	} else if (protocol != IPPROTO_UDP) {
		return XDP_PASS;
	}
	/* Kept in a register: the verifier must know it to be the one that was compared above. */
	asm volatile("" : "+r"(protocol));

	flow = bpf_map_lookup_elem(&FLOWS, &key);
#ifdef NEW_FLOWS
	if (!flow)
		flow = opened(&key);
#endif
	if (!flow)
		return XDP_PASS;

	if (protocol == IPPROTO_TCP) {
		if (!follows_state(flow, ((__u8 *)l4)[TCP_FLAGS_OFFSET]))
			return XDP_DROP;
		l4->tcp.check = adjusted(l4->tcp.check, flow->l4_delta);
	} else if (l4->udp.check) {
		__u16 check = adjusted(l4->udp.check, flow->l4_delta);

		l4->udp.check = check ? check : 0xffff;
	}
	l4->sport = flow->sport;
	l4->dport = flow->dport;

	ip->saddr = flow->saddr;
	ip->daddr = flow->daddr;
	ip->ttl--;
	/* The decrement is part of the difference. */
	ip->check = adjusted(ip->check, flow->ip_delta);
	store_macs(data, flow->macs);

	length = bpf_ntohs(ip->tot_len) + sizeof(*eth);
	flow->packets++;
	flow->bytes += length;
	/* About a second; written only when it moves, so the line is not made dirty for it. */
	now = (__u32)(bpf_jiffies64() >> 8);
	if (flow->seen != now)
		flow->seen = now;

	counters = bpf_map_lookup_elem(&COUNTERS, &zero);
	if (counters) {
		counters->packets++;
		counters->bytes += length;
	}
	return bpf_redirect_map(&PORTS, flow->port, 0);
}
