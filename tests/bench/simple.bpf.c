// SPDX-License-Identifier: MIT OR Apache-2.0
/* The bounds of what a packet program can cost: nothing, and a redirect without a flow table. */
#include "bench.h"

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, PORT_SLOTS);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} PORTS SEC(".maps");

/* Source and destination MAC address as three words. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32[3]);
} MACS SEC(".maps");

/* Under the wrapper this is the floor, which is subtracted from everything else. */
SEC("xdp.frags")
int transmit(struct xdp_md *ctx)
{
	return XDP_TX;
}

SEC("xdp.frags")
int drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("xdp.frags")
int redirect(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0;
	__u32 *macs = bpf_map_lookup_elem(&MACS, &zero);

	if (!macs || data + sizeof(struct ethhdr) > end)
		return XDP_ABORTED;
	store_macs(data, macs);
	return bpf_redirect_map(&PORTS, 0, 0);
}
