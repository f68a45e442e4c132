//! The maps by name, written once.

/// Network index + 1 by interface index; 0 is an interface that is not attached.
pub const ATTACHMENTS: &str = "ATTACHMENTS";
/// Network index by [`TagKey`](crate::TagKey). Of an interface without an untagged network,
/// [`ATTACHMENTS`] says [`TAGGED_ONLY`](crate::TAGGED_ONLY).
pub const TAGGED: &str = "TAGGED";
/// The gateway's own addresses: [`LocalKey`](crate::LocalKey) to [`Local`](crate::Local).
pub const LOCALS: &str = "LOCALS";
/// What reaches the host's stack from a network, bits of [`host`](crate::host), by network index.
pub const NETWORKS: &str = "NETWORKS";
/// Which addresses a network's hosts have: 1 by [`SenderKey`](crate::SenderKey), of which the
/// longest match counts.
pub const SENDERS: &str = "SENDERS";
/// [`Endpoint`](crate::Endpoint) by index.
pub const ENDPOINTS: &str = "ENDPOINTS";
/// [`RuleKey`](crate::RuleKey) to [`RuleNode`](crate::RuleNode).
pub const RULES: &str = "RULES";
/// [`Limits`](crate::Limits) by endpoint index.
pub const LIMITS: &str = "LIMITS";
/// [`Meter`](crate::Meter) by endpoint index.
pub const METERS: &str = "METERS";
/// [`Path`](crate::path::Path) by endpoint index.
pub const PATHS: &str = "PATHS";
/// [`Deadline`](crate::Deadline) by endpoint index.
pub const DEADLINES: &str = "DEADLINES";
/// The timer that stands in for a daemon that does not run, and where it goes on.
pub const WATCH: &str = "WATCH";
/// [`Service`](crate::Service) by index.
pub const SERVICES: &str = "SERVICES";
/// [`ListenerKey`](crate::ListenerKey) to [`Listener`](crate::Listener).
pub const LISTENERS: &str = "LISTENERS";
/// Target indices: each listener's pool of backends is a range of this table.
pub const BACKENDS: &str = "BACKENDS";
/// [`Target`](crate::Target) by index.
pub const TARGETS: &str = "TARGETS";
/// [`Source`](crate::Source) by index.
pub const SOURCES: &str = "SOURCES";
/// The flow table: [`Slot`](crate::flow::Slot)s, which user space maps into its memory.
pub const SLOTS: &str = "SLOTS";
/// One [`Region`](crate::flow::Region) for each 256 slots.
pub const REGIONS: &str = "REGIONS";
/// [`Share`](crate::Share) by endpoint index.
pub const SHARES: &str = "SHARES";
/// One [`Occupancy`](crate::share::Occupancy).
pub const OCCUPANCY: &str = "OCCUPANCY";
/// [`Block`](crate::share::Block)s of ports, by [`block_index`](crate::share::block_index).
pub const PORT_BLOCKS: &str = "PORT_BLOCKS";
/// [`Fragmented`](crate::fragment::Fragmented): datagrams whose fragments are on their way.
pub const FRAGMENTS: &str = "FRAGMENTS";
/// Devices to redirect to, by interface index.
pub const DEVICES: &str = "DEVICES";
/// [`EndpointCounters`](crate::EndpointCounters) by endpoint index, per CPU.
pub const ENDPOINT_COUNTERS: &str = "ENDPOINT_COUNTERS";
/// Packets not forwarded, by [`Reason`](crate::Reason), per CPU.
pub const DROPS: &str = "DROPS";

/// [`TargetCounters`](crate::TargetCounters) by target index, per CPU.
pub const TARGET_COUNTERS: &str = "TARGET_COUNTERS";
/// Packets not forwarded, by [`DropKey`](crate::DropKey), per CPU.
pub const ENDPOINT_DROPS: &str = "ENDPOINT_DROPS";

/// [`End`](crate::End)s of flows, for the daemon.
pub const ENDS: &str = "ENDS";
/// How many ends found no room in [`ENDS`], per CPU.
pub const ENDS_LOST: &str = "ENDS_LOST";
/// [`RefusedFlow`](crate::RefusedFlow)s, for the daemon.
pub const REFUSALS: &str = "REFUSALS";
/// One [`Sampling`](crate::Sampling) of refused flows per CPU.
pub const SAMPLING: &str = "SAMPLING";
/// A [`Sampling`](crate::Sampling) of ICMP errors by network index modulo [`MAX_ERRORS`], per CPU.
pub const ERRORS: &str = "ERRORS";
/// One [`Scratch`](crate::Scratch) per CPU.
pub const SCRATCH: &str = "SCRATCH";
/// [`Suspect`](crate::Suspect)s of the region that is being swept, per CPU.
pub const SUSPECTS: &str = "SUSPECTS";
/// The programs of the later stages, by [`Stage`](crate::Stage).
pub const STAGES: &str = "STAGES";
/// The same of the programs in the network stack.
pub const TC_STAGES: &str = "TC_STAGES";

/// Every map, in the order in which a packet meets them.
pub const ALL: &[&str] = &[
    ATTACHMENTS,
    TAGGED,
    SLOTS,
    REGIONS,
    ENDPOINTS,
    TARGETS,
    SOURCES,
    FRAGMENTS,
    DEVICES,
    ENDPOINT_COUNTERS,
    DROPS,
    TARGET_COUNTERS,
    ENDPOINT_DROPS,
    LOCALS,
    NETWORKS,
    SENDERS,
    RULES,
    LIMITS,
    METERS,
    SHARES,
    OCCUPANCY,
    PATHS,
    PORT_BLOCKS,
    DEADLINES,
    WATCH,
    SERVICES,
    LISTENERS,
    BACKENDS,
    ENDS,
    ENDS_LOST,
    REFUSALS,
    SAMPLING,
    ERRORS,
    SCRATCH,
    SUSPECTS,
    STAGES,
    TC_STAGES,
];

/// Bytes of [`ENDS`].
pub const ENDS_BYTES: u32 = 16 << 20;
/// Bytes of [`REFUSALS`].
pub const REFUSALS_BYTES: u32 = 4 << 20;
/// Entries of [`ENDPOINT_DROPS`]: four reasons for each endpoint that there can be.
pub const MAX_ENDPOINT_DROPS: u32 = 262_144;
/// Entries of [`ERRORS`]: networks that do not share theirs.
pub const MAX_ERRORS: u32 = 1_024;
/// Entries of [`SAMPLING`]: networks that do not share theirs.
pub const MAX_SAMPLED: u32 = 1_024;
/// Interfaces beyond this index cannot be attached.
pub const MAX_IFINDEX: u32 = 65_536;
/// VLANs of all interfaces together.
pub const MAX_TAGGED: u32 = 65_536;
/// Networks of one gateway.
pub const MAX_NETWORKS: u32 = 65_536;
/// Address ranges of all networks together.
pub const MAX_SENDERS: u32 = 262_144;
/// Endpoints of one gateway.
pub const MAX_ENDPOINTS: u32 = 65_536;
/// Services of one gateway.
pub const MAX_SERVICES: u32 = 16_384;
/// Listener ports of all services together.
pub const MAX_LISTENERS: u32 = 262_144;
/// Entries of all listeners' backend pools together.
pub const MAX_BACKENDS: u32 = 1_048_576;
/// Targets of one gateway.
pub const MAX_TARGETS: u32 = 65_536;
/// Source addresses of one gateway; a flow names one in 16 bits.
pub const MAX_SOURCES: u32 = 65_536;
/// Nodes of all sets of security rules together.
pub const MAX_RULE_NODES: u32 = 262_144;
/// Blocks of ports of all source addresses that have separate ones.
pub const MAX_PORT_BLOCKS: u32 = crate::share::BLOCK_TABLES * crate::share::BLOCKS;
/// Endpoint and source addresses together.
pub const MAX_LOCALS: u32 = 262_144;

/// Name of the program that is attached, and of its pin.
pub const PROGRAM: &str = "privatelink";
/// Name of the program that is attached in the network stack, and of its pin.
pub const TC_PROGRAM: &str = "privatelink_tc";
/// Name of the program that returns the datapath's time.
pub const CLOCK_PROGRAM: &str = "privatelink_clock";
/// Name of the program that ends silent flows. It finds the first region, how many, and whether
/// security rules are asked for each flow (1), as native words behind [`SWEEP_RANGE`] bytes of its
/// packet, and returns how many it ended. Two more words say how many endpoints there are, and how
/// many of them a timer looks at each time once no daemon runs; with zero, no timer is put off.
pub const SWEEP_PROGRAM: &str = "privatelink_sweep";
/// Where the words stand in the packet that [`SWEEP_PROGRAM`] is run on.
pub const SWEEP_RANGE: usize = 14;
/// How many words there are.
pub const SWEEP_WORDS: usize = 5;
/// Name of the program that enters flows of another table. It finds how many, as a native word, and
/// then each as a [`Flow`](crate::flow::Flow), behind [`SWEEP_RANGE`] bytes of its packet, and
/// returns for how many there was no room.
pub const ADOPT_PROGRAM: &str = "privatelink_adopt";
/// How many it takes at most.
pub const ADOPT_BATCH: usize = 32;
