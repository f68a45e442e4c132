//! The programs: they call the packet function, count, and turn its verdict into an action.

use crate::{
    buffer::BufferFrame,
    context::XdpFrame,
    maps::Maps,
    operations::{flow_adopt, flow_sweep},
    watch::put_off,
};
use aya_ebpf::{
    bindings::{
        TC_ACT_SHOT, TC_ACT_UNSPEC,
        xdp_action::{XDP_DROP, XDP_PASS},
    },
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use privatelink_common::{
    Reason,
    flow::Flow,
    host,
    maps::{ADOPT_BATCH, SWEEP_RANGE},
};
use privatelink_ebpf::{
    Frame as _, Refused, Stage, Tables as _, Verdict, Walk, fast, leave, stage,
};

/// Carries the packets of one interface; what is unusual goes on to the later stages.
#[xdp(frags)]
pub fn privatelink(context: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(context);
    let verdict = fast(&mut frame, &Maps).unwrap_or(Verdict::Next(Stage::Slow));
    act(&frame, verdict)
}

/// [`privatelink`] in the network stack, where the kernel has joined packets, and leaves checksums
/// and tags for later.
#[classifier]
pub fn privatelink_tc(context: TcContext) -> i32 {
    let mut frame = BufferFrame::first(context);
    let verdict = if !frame.is_tagged_beside() {
        fast(&mut frame, &Maps).unwrap_or(Verdict::Next(Stage::Slow))
    } else if frame.has_foreign_tag() {
        foreign(&frame)
    } else {
        Verdict::Next(Stage::Slow)
    };
    act_tc(&frame, verdict)
}

/// What becomes of a frame with tags that no network has.
#[inline(always)]
fn foreign(frame: &BufferFrame) -> Verdict {
    match Maps.network(frame.ingress()) {
        Some(network) if Maps.host(network) & host::ALL == 0 => Verdict::drop(Reason::Host),
        _ => Verdict::Pass,
    }
}

/// Defines the programs of each later stage.
macro_rules! stages {
    ($($program:ident, $tc:ident: $stage:ident,)+) => {$(
        #[doc = concat!("[`Stage::", stringify!($stage), "`].")]
        #[xdp(frags)]
        pub fn $program(context: XdpContext) -> u32 {
            let mut frame = XdpFrame::new(context);
            let verdict = stage(Stage::$stage, &mut frame, &Maps);
            if !leave(&mut frame, &Maps, &verdict) {
                Maps.count_drop(Reason::Internal, None);
                return XDP_DROP;
            }
            act(&frame, verdict)
        }

        #[doc = concat!("[`Stage::", stringify!($stage), "`] in the network stack.")]
        #[classifier]
        pub fn $tc(context: TcContext) -> i32 {
            let mut frame = BufferFrame::later(context);
            let verdict = stage(Stage::$stage, &mut frame, &Maps);
            if !leave(&mut frame, &Maps, &verdict) {
                Maps.count_drop(Reason::Internal, None);
                return TC_ACT_SHOT;
            }
            act_tc(&frame, verdict)
        }
    )+};
}

stages! {
    privatelink_slow, privatelink_tc_slow: Slow,
    privatelink_open, privatelink_tc_open: Open,
    privatelink_carry, privatelink_tc_carry: Carry,
    privatelink_fragment, privatelink_tc_fragment: Fragment,
    privatelink_clamp, privatelink_tc_clamp: Clamp,
    privatelink_translate, privatelink_tc_translate: Translate,
    privatelink_translate_part, privatelink_tc_translate_part: TranslatePart,
    privatelink_icmp, privatelink_tc_icmp: Icmp,
    privatelink_icmp_error, privatelink_tc_icmp_error: IcmpError,
    privatelink_translate_error, privatelink_tc_translate_error: TranslateError,
    privatelink_answer, privatelink_tc_answer: Answer,
    privatelink_host, privatelink_tc_host: Host,
    privatelink_room, privatelink_tc_room: Room,
}

/// Returns the time; user space runs this program for its result.
#[classifier]
pub fn privatelink_clock(_context: TcContext) -> i32 {
    Maps.now().cast_signed()
}

/// Ends silent flows; user space runs it on a packet that says in which regions.
#[classifier]
pub fn privatelink_sweep(context: TcContext) -> i32 {
    let word = |at: usize| context.load::<u32>(SWEEP_RANGE + at);
    let (Ok(first), Ok(regions), Ok(rules)) = (word(0), word(4), word(8)) else { return 0 };
    let ended = flow_sweep(first, regions, rules);
    if let (Ok(endpoints), Ok(step @ 1..)) = (word(12), word(16)) {
        put_off(endpoints, step);
    }
    (ended as u32).cast_signed()
}

/// Enters flows of another table; user space runs it.
#[classifier]
pub fn privatelink_adopt(context: TcContext) -> i32 {
    let Ok(count) = context.load::<u32>(SWEEP_RANGE) else { return 0 };
    let mut batch = Batch { context, without_room: 0 };
    Maps.walk(if count < ADOPT_BATCH as u32 { count } else { ADOPT_BATCH as u32 }, &mut batch);
    batch.without_room
}

/// The flows behind a packet's first bytes.
struct Batch {
    context: TcContext,
    without_room: i32,
}

impl Walk<Maps> for Batch {
    #[inline(always)]
    fn step(&mut self, _tables: &Maps, number: u32) -> bool {
        let at = SWEEP_RANGE + size_of::<u32>() + number as usize * size_of::<Flow>();
        let Ok(flow) = self.context.load::<Flow>(at) else { return true };
        if flow_adopt(&flow) == 0 {
            self.without_room += 1;
        }
        false
    }
}

/// Turns a verdict into the kernel's action.
#[inline(always)]
fn act(frame: &XdpFrame, verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Pass => XDP_PASS,
        Verdict::Drop(Refused { reason, endpoint }) => {
            Maps.count_drop(reason, endpoint);
            XDP_DROP
        }
        Verdict::Reply { refused: Refused { reason, endpoint }, ifindex } => {
            Maps.count_drop(reason, endpoint);
            Maps.redirect(ifindex).unwrap_or(XDP_DROP)
        }
        // Also back to where the packet came from: on veth, a frame of XDP_TX does not reach a
        // peer without an XDP program, and a redirected one does (with GRO on there).
        Verdict::Send { ifindex } => Maps.redirect(ifindex).unwrap_or_else(|_| {
            Maps.count_drop(Reason::NoDevice, None);
            XDP_DROP
        }),
        Verdict::Next(stage) => {
            Maps.go_on(frame.context(), stage);
            Maps.count_drop(Reason::Internal, None);
            XDP_DROP
        }
    }
}

/// [`act`] in the network stack.
#[inline(always)]
fn act_tc(frame: &BufferFrame, verdict: Verdict) -> i32 {
    match verdict {
        // Other programs of the interface may look at it, too.
        Verdict::Pass => TC_ACT_UNSPEC,
        Verdict::Drop(Refused { reason, endpoint }) => {
            Maps.count_drop(reason, endpoint);
            TC_ACT_SHOT
        }
        Verdict::Reply { refused: Refused { reason, endpoint }, ifindex } => {
            Maps.count_drop(reason, endpoint);
            Maps.hand_over(ifindex).unwrap_or(TC_ACT_SHOT)
        }
        Verdict::Send { ifindex } => Maps.hand_over(ifindex).unwrap_or_else(|| {
            Maps.count_drop(Reason::NoDevice, None);
            TC_ACT_SHOT
        }),
        Verdict::Next(stage) => {
            Maps.go_on_tc(frame.context(), stage);
            Maps.count_drop(Reason::Internal, None);
            TC_ACT_SHOT
        }
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing in the object can panic, and a test looks for what would.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
