//! Signals: numbers, actions, stacks and the information that travels with one.
//!
//! Source: Linux 6.1, `include/uapi/asm-generic/{signal,signal-defs,siginfo}.h`. The frames that the kernel builds on
//! a handler's stack differ between architectures: [`crate::native::signal`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use crate::native::signal::{RtSigframe, SigContext, UContext};

/// Highest signal number.
pub const NSIG: u32 = 64;
/// Bytes of a signal mask; every `rt_sig*` call checks its size argument against this.
pub const SIGSET_SIZE: usize = 8;

constants! { u32:
    SIGHUP = 1, "terminal hung up";
    SIGINT = 2, "Ctrl-C";
    SIGQUIT = 3, "Ctrl-\\";
    SIGILL = 4, "illegal instruction";
    SIGTRAP = 5, "breakpoint or trace";
    SIGABRT = 6, "abort";
    SIGBUS = 7, "access beyond an object";
    SIGFPE = 8, "arithmetic error";
    SIGKILL = 9, "ends the process, cannot be caught";
    SIGUSR1 = 10, "free";
    SIGSEGV = 11, "bad memory access";
    SIGUSR2 = 12, "free";
    SIGPIPE = 13, "write to a pipe without readers";
    SIGALRM = 14, "ITIMER_REAL";
    SIGTERM = 15, "please end";
    SIGSTKFLT = 16, "unused";
    SIGCHLD = 17, "a child changed state";
    SIGCONT = 18, "continue";
    SIGSTOP = 19, "stops the process, cannot be caught";
    SIGTSTP = 20, "Ctrl-Z";
    SIGTTIN = 21, "background read from the terminal";
    SIGTTOU = 22, "background write to the terminal";
    SIGURG = 23, "urgent data";
    SIGXCPU = 24, "RLIMIT_CPU";
    SIGXFSZ = 25, "RLIMIT_FSIZE";
    SIGVTALRM = 26, "ITIMER_VIRTUAL";
    SIGPROF = 27, "ITIMER_PROF";
    SIGWINCH = 28, "the terminal's size changed";
    SIGIO = 29, "O_ASYNC";
    SIGPWR = 30, "power failure";
    SIGSYS = 31, "bad system call";
    SIGRTMIN = 32, "first realtime signal";
    SIGRTMAX = 64, "last realtime signal";
}

constants! { u64:
    SIG_DFL = 0, "default action";
    SIG_IGN = 1, "ignore";
    SA_NOCLDSTOP = 0x1, "no SIGCHLD when children stop";
    SA_NOCLDWAIT = 0x2, "children leave no zombies";
    SA_SIGINFO = 0x4, "the handler takes three arguments";
    SA_UNSUPPORTED = 0x400, "never stored: tells whether unknown flags are dropped";
    SA_EXPOSE_TAGBITS = 0x800, "address tags in si_addr";
    SA_RESTORER = 0x0400_0000, "sa_restorer is set";
    SA_ONSTACK = 0x0800_0000, "on the alternate stack";
    SA_RESTART = 0x1000_0000, "restart interrupted calls";
    SA_NODEFER = 0x4000_0000, "do not block the signal in its handler";
    SA_RESETHAND = 0x8000_0000, "default action after the first";
}

constants! { u32:
    SIG_BLOCK = 0, "add to the mask";
    SIG_UNBLOCK = 1, "take from the mask";
    SIG_SETMASK = 2, "replace the mask";
    SS_ONSTACK = 1, "the thread is on its alternate stack";
    SS_DISABLE = 2, "no alternate stack";
    SS_AUTODISARM = 1 << 31, "disarm while a handler runs";
    MINSIGSTKSZ_X86_64 = 2048, "smallest alternate stack on x86_64, before the CPU's extended state";
    MINSIGSTKSZ_AARCH64 = 5120, "smallest alternate stack on AArch64";
    SFD_CLOEXEC = 0o2_000_000, "signalfd: close on execve";
    SFD_NONBLOCK = 0o4000, "signalfd: do not block";
}

/// What to do at a signal (`rt_sigaction`); the same layout on both architectures.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Sigaction {
    /// [`SIG_DFL`], [`SIG_IGN`] or the handler's address.
    pub sa_handler: u64,
    /// `SA_*`.
    pub sa_flags: u64,
    /// Where the handler returns to (SA_RESTORER).
    pub sa_restorer: u64,
    /// Blocked while the handler runs; bit n-1 is signal n.
    pub sa_mask: u64,
}

/// An alternate signal stack (`sigaltstack`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct StackT {
    /// Lowest byte.
    pub ss_sp: u64,
    /// `SS_*`.
    pub ss_flags: u32,
    /// Zero.
    pub pad: u32,
    /// Bytes.
    pub ss_size: u64,
}

constants! { i32:
    SI_USER = 0, "kill";
    SI_KERNEL = 0x80, "the kernel";
    SI_QUEUE = -1, "sigqueue";
    SI_TIMER = -2, "a timer";
    SI_MESGQ = -3, "a message queue";
    SI_ASYNCIO = -4, "asynchronous I/O";
    SI_SIGIO = -5, "queued SIGIO";
    SI_TKILL = -6, "tkill or tgkill";
    ILL_ILLOPC = 1, "SIGILL: opcode";
    ILL_ILLOPN = 2, "SIGILL: operand";
    ILL_ILLADR = 3, "SIGILL: addressing mode";
    ILL_ILLTRP = 4, "SIGILL: trap";
    ILL_PRVOPC = 5, "SIGILL: privileged opcode";
    ILL_PRVREG = 6, "SIGILL: privileged register";
    ILL_COPROC = 7, "SIGILL: coprocessor";
    ILL_BADSTK = 8, "SIGILL: stack";
    FPE_INTDIV = 1, "SIGFPE: integer division by zero";
    FPE_INTOVF = 2, "SIGFPE: integer overflow";
    FPE_FLTDIV = 3, "SIGFPE: division by zero";
    FPE_FLTOVF = 4, "SIGFPE: overflow";
    FPE_FLTUND = 5, "SIGFPE: underflow";
    FPE_FLTRES = 6, "SIGFPE: inexact result";
    FPE_FLTINV = 7, "SIGFPE: invalid operation";
    FPE_FLTSUB = 8, "SIGFPE: subscript out of range";
    FPE_FLTUNK = 14, "SIGFPE: unknown";
    SEGV_MAPERR = 1, "SIGSEGV: nothing mapped";
    SEGV_ACCERR = 2, "SIGSEGV: not permitted";
    SEGV_BNDERR = 3, "SIGSEGV: bounds";
    SEGV_PKUERR = 4, "SIGSEGV: protection key";
    BUS_ADRALN = 1, "SIGBUS: alignment";
    BUS_ADRERR = 2, "SIGBUS: beyond the object";
    BUS_OBJERR = 3, "SIGBUS: hardware error";
    TRAP_BRKPT = 1, "SIGTRAP: breakpoint";
    TRAP_TRACE = 2, "SIGTRAP: single step";
    TRAP_BRANCH = 3, "SIGTRAP: branch";
    TRAP_HWBKPT = 4, "SIGTRAP: hardware breakpoint";
    TRAP_UNK = 5, "SIGTRAP: unknown";
    POLL_IN = 1, "SIGIO: input";
    POLL_OUT = 2, "SIGIO: room for output";
    POLL_MSG = 3, "SIGIO: a message";
    POLL_ERR = 4, "SIGIO: an error";
    POLL_PRI = 5, "SIGIO: urgent input";
    POLL_HUP = 6, "SIGIO: the other side is gone";
    CLD_EXITED = 1, "SIGCHLD: exited";
    CLD_KILLED = 2, "SIGCHLD: killed";
    CLD_DUMPED = 3, "SIGCHLD: killed, core dumped";
    CLD_TRAPPED = 4, "SIGCHLD: traced child trapped";
    CLD_STOPPED = 5, "SIGCHLD: stopped";
    CLD_CONTINUED = 6, "SIGCHLD: continued";
    SYS_SECCOMP = 1, "SIGSYS: seccomp";
    SYS_USER_DISPATCH = 2, "SIGSYS: user dispatch";
}

/// What travels with a signal: 128 bytes, a header and a union that `si_code` selects.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SigInfo {
    /// Signal.
    pub si_signo: i32,
    /// Error number, mostly 0.
    pub si_errno: i32,
    /// `SI_*` or the signal's own codes.
    pub si_code: i32,
    /// Zero.
    pub pad: u32,
    /// The union, as words: word n is at byte 16 + 8 n.
    pub fields: [u64; 14],
}

/// Two 32-bit fields as they share a word on a little-endian machine.
const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

impl SigInfo {
    /// The header with an empty union.
    pub fn new(signal: u32, code: i32) -> SigInfo {
        SigInfo { si_signo: signal as i32, si_code: code, ..SigInfo::default() }
    }

    /// Sent by a process: `kill` ([`SI_USER`]), `tkill` ([`SI_TKILL`]).
    pub fn user(signal: u32, code: i32, pid: i32, uid: u32) -> SigInfo {
        let mut info = SigInfo::new(signal, code);
        info.fields[0] = pair(pid as u32, uid);
        info
    }

    /// Sent by `sigqueue` with a value.
    pub fn queued(signal: u32, code: i32, pid: i32, uid: u32, value: u64) -> SigInfo {
        let mut info = SigInfo::user(signal, code, pid, uid);
        info.fields[1] = value;
        info
    }

    /// SIGCHLD: `status` is the exit code or the signal, times are in clock ticks.
    pub fn child(code: i32, pid: i32, uid: u32, status: i32, utime: i64, stime: i64) -> SigInfo {
        let mut info = SigInfo::user(SIGCHLD, code, pid, uid);
        info.fields[1] = pair(status as u32, 0);
        info.fields[2] = utime as u64;
        info.fields[3] = stime as u64;
        info
    }

    /// News of an open file: `code` is `POLL_*`, `band` the bits of poll(2).
    pub fn of_file(signal: u32, code: i32, band: u16, fd: i32) -> SigInfo {
        let mut info = SigInfo::new(signal, code);
        info.fields[0] = band as u64;
        info.fields[1] = pair(fd as u32, 0);
        info
    }

    /// A fault at `address`: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP.
    pub fn fault(signal: u32, code: i32, address: u64) -> SigInfo {
        let mut info = SigInfo::new(signal, code);
        info.fields[0] = address;
        info
    }

    /// Whether the first word of the union is the address of a fault.
    pub const fn is_fault(&self) -> bool {
        let raised = 0 < self.si_code && self.si_code < SI_KERNEL;
        raised && matches!(self.signal(), SIGSEGV | SIGBUS | SIGILL | SIGFPE | SIGTRAP)
    }

    /// Expiry of a POSIX timer. `private` is what the kernel knows the timer by besides; a program never sees it
    /// (Linux: `si_sys_private`).
    pub fn timer(signal: u32, timer: i32, private: u32, value: u64) -> SigInfo {
        let mut info = SigInfo::new(signal, SI_TIMER);
        info.fields[0] = pair(timer as u32, 0);
        info.fields[1] = value;
        info.fields[2] = pair(private, 0);
        info
    }

    /// The number of a POSIX timer and what the kernel knows it by; `None` unless a timer of the kernel's sent this.
    pub const fn sent_by_timer(&self) -> Option<(i32, u32)> {
        match self.fields[2] as u32 {
            0 => None,
            _ if self.si_code != SI_TIMER => None,
            private => Some((self.fields[0] as u32 as i32, private)),
        }
    }

    /// What a program may see of a timer's information, with the number of expiries that were missed.
    pub fn set_overrun(&mut self, overrun: i32) {
        self.fields[0] = pair(self.fields[0] as u32, overrun as u32);
        self.hide_private();
    }

    /// Takes away what the kernel knows a timer by.
    pub fn hide_private(&mut self) {
        if self.si_code == SI_TIMER {
            self.fields[2] &= !u64::from(u32::MAX);
        }
    }

    /// The signal's number.
    pub const fn signal(&self) -> u32 {
        self.si_signo as u32
    }

    /// Sender or child, where the code has one.
    pub const fn si_pid(&self) -> i32 {
        self.fields[0] as u32 as i32
    }

    /// The sender's user, where the code has one.
    pub const fn si_uid(&self) -> u32 {
        (self.fields[0] >> 32) as u32
    }

    /// Exit code or signal of a child.
    pub const fn si_status(&self) -> i32 {
        self.fields[1] as u32 as i32
    }

    /// The descriptor of a file that had news.
    pub const fn si_fd(&self) -> i32 {
        self.fields[1] as u32 as i32
    }

    /// What the news is, as bits of poll(2).
    pub const fn si_band(&self) -> u64 {
        self.fields[0]
    }

    /// Address of a fault.
    pub const fn si_addr(&self) -> u64 {
        self.fields[0]
    }

    /// The value of `sigqueue` or of a timer.
    pub const fn si_value(&self) -> u64 {
        self.fields[1]
    }
}

/// How a POSIX timer notifies (`timer_create`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Sigevent {
    /// Value that travels with the signal.
    pub sigev_value: u64,
    /// Signal.
    pub sigev_signo: i32,
    /// `SIGEV_*`.
    pub sigev_notify: i32,
    /// Thread for SIGEV_THREAD_ID.
    pub sigev_tid: i32,
    /// The rest of the union.
    pub pad: [u32; 11],
}

constants! { i32:
    SIGEV_SIGNAL = 0, "by a signal";
    SIGEV_NONE = 1, "not at all";
    SIGEV_THREAD = 2, "by a thread of the C library";
    SIGEV_THREAD_ID = 4, "by a signal to one thread";
}
