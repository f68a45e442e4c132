/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Opening a flow in the C reference: the reverse key is claimed with BPF_NOEXIST, which allocates
 * the port, then the forward entry is inserted. A ring of recent flows pays for two deletes per
 * flow, so that a run of any length finds every packet new and the table never full.
 */
#define RECENT_FLOWS 16384
#define PORT_TRIES 8
#define SOURCES 64

struct service {
	__be32 target;
	__u32 first_source;	/* host order */
	__be16 target_port;
	__u16 reserved;
	__u32 macs[3];
	__u32 reply_macs[3];
	__u64 opened;
};

struct pair {
	struct flow_key forward, reverse;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct service);
} SERVICE SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RECENT_FLOWS);
	__type(key, __u32);
	__type(value, struct pair);
} RECENT SEC(".maps");

static __always_inline __u32 halves(__u32 address)
{
	return (address & 0xffff) + (address >> 16);
}

static __always_inline __u16 folded(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* The entry that turns packets of `from` into packets of the reverse of `to`. */
static __always_inline void describe(struct flow *flow, const struct flow_key *from,
				     const struct flow_key *to, const __u32 macs[3], __u32 port)
{
	__u32 addresses = halves(to->daddr) + halves(to->saddr) +
			  halves(~from->saddr) + halves(~from->daddr);
	__u32 ports = to->dport + to->sport + (__u16)~from->sport + (__u16)~from->dport;

	__builtin_memset(flow, 0, sizeof(*flow));
	flow->saddr = to->daddr;
	flow->daddr = to->saddr;
	flow->sport = to->dport;
	flow->dport = to->sport;
	flow->ip_delta = folded(addresses + bpf_htons(0xfeff));
	flow->l4_delta = folded(addresses + ports);
	flow->macs[0] = macs[0];
	flow->macs[1] = macs[1];
	flow->macs[2] = macs[2];
	flow->port = port;
	flow->seen = (__u32)(bpf_jiffies64() >> 8);
	flow->state = EMBRYONIC;
}

static __always_inline struct flow *opened(const struct flow_key *forward)
{
	__u32 zero = 0, client, slot;
	struct service *service = bpf_map_lookup_elem(&SERVICE, &zero);
	struct flow_key reverse;
	struct flow flow;
	struct pair *oldest;

	if (!service)
		return 0;
	client = bpf_ntohl(forward->saddr);
	reverse.saddr = service->target;
	reverse.daddr = bpf_htonl(service->first_source + client % SOURCES);
	reverse.sport = service->target_port;
	reverse.dport = forward->sport;
	reverse.protocol = forward->protocol;

	for (int i = 0; ; i++) {
		if (i == PORT_TRIES)
			return 0;
		describe(&flow, &reverse, forward, service->reply_macs, 1);
		if (!bpf_map_update_elem(&FLOWS, &reverse, &flow, BPF_NOEXIST))
			break;
		reverse.dport = bpf_htons(1024 + bpf_get_prandom_u32() % (65536 - 1024));
	}
	describe(&flow, forward, &reverse, service->macs, 0);
	if (bpf_map_update_elem(&FLOWS, forward, &flow, BPF_NOEXIST)) {
		bpf_map_delete_elem(&FLOWS, &reverse);
		return 0;
	}

	slot = service->opened++ % RECENT_FLOWS;
	oldest = bpf_map_lookup_elem(&RECENT, &slot);
	if (oldest) {
		if (oldest->forward.protocol) {
			bpf_map_delete_elem(&FLOWS, &oldest->forward);
			bpf_map_delete_elem(&FLOWS, &oldest->reverse);
		}
		oldest->forward = *forward;
		oldest->reverse = reverse;
	}
	return bpf_map_lookup_elem(&FLOWS, forward);
}
