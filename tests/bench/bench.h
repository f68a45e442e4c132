/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the wrapper and the programs under test share. */
#ifndef PRIVATELINK_BENCH_H
#define PRIVATELINK_BENCH_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The devmap slot that every program under test redirects to, and the number of slots. */
#define PORT_SLOTS 8

/* Packet memory is at an even address at best, and `struct ethhdr` is packed, for which clang
 * emits one store per byte. x86-64 and arm64 take unaligned words. */
static __always_inline void store_macs(void *data, const __u32 macs[3])
{
	__u32 *to = data;

	to[0] = macs[0];
	to[1] = macs[1];
	to[2] = macs[2];
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#endif
