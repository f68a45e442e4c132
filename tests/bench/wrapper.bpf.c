// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Runs a program under test many times inside one BPF_PROG_TEST_RUN.
 *
 * The kernel does not reset the packet between repeats, so each iteration restores its length and
 * its first bytes, and gives it the client of the next flow. The kernel's own wall clock includes
 * two RCU grace periods per call, so the clock is read here, once per chunk of iterations.
 */
#include "bench.h"

#define TEMPLATE_WORDS 8
#define TEMPLATE_BYTES (TEMPLATE_WORDS * 8)
#define MAX_STAMPS 4096

/* A flow's number is split into its client's port (low bits) and address (the rest). */
#define PORT_BITS 14
#define FIRST_PORT 16384

/* The layout is written down a second time in `tests/src/bench/harness.rs`. */
struct round {
	__u64 iteration;
	__u64 order;		/* state of the generator that picks the flow */
	__u64 order_mask;	/* a power of two that is not less than flows, minus 1 */
	__u64 order_shift;
	__u64 flows;
	__u64 chunk_mask;
	__u64 chunk_shift;
	__u64 length;
	__u64 first_client;	/* IPv4 address, host order */
	__u64 ip_sum;		/* sums of the template without the client, host order */
	__u64 l4_sum;
	__u64 template[TEMPLATE_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct round);
} ROUND SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_STAMPS);
	__type(key, __u32);
	__type(value, __u64);
} STAMPS SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} SUBJECT SEC(".maps");

static __always_inline __u16 checksum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return bpf_htons((__u16)~sum);
}

/* A full-period generator modulo a power of two, its low bits mixed with its high ones: every flow
 * comes once per cycle, in an order that no prefetcher follows. */
static __always_inline __u32 next_flow(struct round *round)
{
	__u64 pick = round->order;

	round->order = (pick * 1664525 + 1013904223) & round->order_mask;
	pick ^= pick >> (round->order_shift & 63);
	if (pick >= round->flows)
		pick -= round->flows;
	return pick;
}

SEC("xdp.frags")
int wrapper(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct round *round = bpf_map_lookup_elem(&ROUND, &zero);
	void *data, *end;
	struct iphdr *ip;
	__u32 flow, client, port;

	if (!round)
		return XDP_ABORTED;

	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (unlikely((__u64)(end - data) != round->length)) {
		if (bpf_xdp_adjust_tail(ctx, (int)(round->length - (end - data))))
			return XDP_ABORTED;
		data = (void *)(long)ctx->data;
		end = (void *)(long)ctx->data_end;
	}
	if (data + TEMPLATE_BYTES > end)
		return XDP_ABORTED;
#pragma unroll
	for (int i = 0; i < TEMPLATE_WORDS; i++)
		((__u64 *)data)[i] = round->template[i];

	flow = next_flow(round);
	client = (__u32)round->first_client + (flow >> PORT_BITS);
	port = FIRST_PORT + (flow & ((1 << PORT_BITS) - 1));

	ip = data + sizeof(struct ethhdr);
	ip->saddr = bpf_htonl(client);
	client = (client >> 16) + (client & 0xffff);
	ip->check = checksum((__u32)round->ip_sum + client);
	if (ip->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = (void *)(ip + 1);

		tcp->source = bpf_htons(port);
		tcp->check = checksum((__u32)round->l4_sum + client + port);
	} else {
		struct udphdr *udp = (void *)(ip + 1);

		udp->source = bpf_htons(port);
		udp->check = checksum((__u32)round->l4_sum + client + port);
	}

	if (unlikely((round->iteration & round->chunk_mask) == 0)) {
		__u32 chunk = round->iteration >> (round->chunk_shift & 63);
		__u64 *stamp = bpf_map_lookup_elem(&STAMPS, &chunk);

		if (stamp)
			*stamp = bpf_ktime_get_ns();
	}
	round->iteration++;

	/* A constant index becomes a direct jump: no retpoline is measured. */
	bpf_tail_call_static(ctx, &SUBJECT, 0);
	return XDP_ABORTED;
}
