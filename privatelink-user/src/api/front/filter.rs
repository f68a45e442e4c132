//! The system calls that are left to the process once it has all its threads.
//!
//! It opens no file, no socket and no process, and traces and signals none: that holds whoever its
//! user is, and in the daemon's unit that is the daemon's own.

use std::{collections::BTreeMap, env};

use anyhow::{Context as _, Result};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// The calls that are allowed whatever their arguments are.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_accept4,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_futex,
    libc::SYS_getpeername,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_socketpair,
    libc::SYS_write,
    libc::SYS_writev,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
];

/// `FIONBIO`, whose type differs between C libraries: a socket waits, or does not.
const FIONBIO: u64 = 0x5421;

/// Forbids all other calls to every thread of this process: they fail with `EPERM`.
///
/// # Errors
/// When the kernel refuses the filter.
pub(super) fn install() -> Result<()> {
    seccompiler::apply_filter_all_threads(&program()?).context("cannot filter system calls")
}

fn program() -> Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let executable = u64::try_from(libc::PROT_EXEC)?;
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![only_if(2, SeccompCmpOp::MaskedEq(executable), 0)?]);
    }
    rules.insert(libc::SYS_ioctl, vec![only_if(1, SeccompCmpOp::Eq, FIONBIO)?]);
    let arch = TargetArch::try_from(env::consts::ARCH).context("an unknown architecture")?;
    let refuse = SeccompAction::Errno(u32::try_from(libc::EPERM)?);
    let filter = SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch)?;
    Ok(filter.try_into()?)
}

fn only_if(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io, net::TcpStream, os::unix::net::UnixStream, process::Command, thread};

    use super::*;

    #[test]
    fn a_thread_under_the_filter_opens_nothing() {
        let refused = |error: io::Error| error.raw_os_error() == Some(libc::EPERM);
        let confined = thread::spawn(move || {
            seccompiler::apply_filter(&program().unwrap()).unwrap();
            [
                File::open("/dev/null").is_err_and(refused),
                File::create("/tmp/privatelink-filter").is_err_and(refused),
                TcpStream::connect("127.0.0.1:1").is_err_and(refused),
                UnixStream::connect("/run/none").is_err_and(refused),
                Command::new("/bin/true").status().is_err(),
                nix::sys::signal::kill(nix::unistd::getpid(), None).is_err(),
                UnixStream::pair().is_ok_and(|(one, _)| one.set_nonblocking(true).is_ok()),
            ]
        });
        assert_eq!(confined.join().unwrap(), [true; 7]);
    }
}
