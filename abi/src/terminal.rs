//! Terminal modes, window sizes and their ioctl numbers.
//!
//! Source: Linux 6.1, `include/uapi/asm-generic/{termbits-common,termbits,termios,ioctls}.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A serial line, as Linux numbers and names those of its sort; this is the first.
///
/// Source: Linux 6.1, `Documentation/admin-guide/devices.txt`, and the drivers named at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerialLine {
    /// Its device number's major part.
    pub major: u32,
    /// Its device number's minor part.
    pub minor: u32,
    /// Its name: in `/dev`, and behind `console=`.
    pub name: &'static str,
    /// Its number as text.
    pub number: &'static str,
    /// What lines of its sort are called, without a number.
    pub names: &'static str,
    /// What Linux's driver calls itself.
    pub driver: &'static str,
    /// What else `console=` may call it: the drivers' own names, which an address may follow.
    pub synonyms: &'static [&'static str],
}

/// A 16550, in any machine (`drivers/tty/serial/8250/8250_core.c`: `serial8250_reg`).
pub const UART_8250: SerialLine = SerialLine {
    major: 4,
    minor: 64,
    name: "ttyS0",
    number: "4:64",
    names: "ttyS",
    driver: "serial",
    synonyms: &["uart", "uart8250"],
};

/// Arm's PL011 (`drivers/tty/serial/amba-pl011.c`: `amba_reg`).
pub const PL011: SerialLine = SerialLine {
    major: 204,
    minor: 64,
    name: "ttyAMA0",
    number: "204:64",
    names: "ttyAMA",
    driver: "ttyAMA",
    synonyms: &["pl011"],
};

/// Number of control characters in [`Termios`].
pub const NCCS: usize = 19;

/// A terminal's modes (`TCGETS`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Termios {
    /// Input modes.
    pub c_iflag: u32,
    /// Output modes.
    pub c_oflag: u32,
    /// Control modes.
    pub c_cflag: u32,
    /// Local modes.
    pub c_lflag: u32,
    /// Line discipline, 0.
    pub c_line: u8,
    /// Control characters, indexed by `V*`; 0 disables.
    pub c_cc: [u8; NCCS],
}

/// A terminal's modes with free speeds (`TCGETS2`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Termios2 {
    /// What [`Termios`] holds.
    pub modes: Termios,
    /// Input speed, bits a second.
    pub c_ispeed: u32,
    /// Output speed, bits a second.
    pub c_ospeed: u32,
}

/// A terminal's size (`TIOCGWINSZ`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Winsize {
    /// Rows of characters.
    pub ws_row: u16,
    /// Columns of characters.
    pub ws_col: u16,
    /// Width in pixels, unused.
    pub ws_xpixel: u16,
    /// Height in pixels, unused.
    pub ws_ypixel: u16,
}

constants! { usize:
    VINTR = 0, "SIGINT";
    VQUIT = 1, "SIGQUIT";
    VERASE = 2, "erase a character";
    VKILL = 3, "erase the line";
    VEOF = 4, "end of file";
    VTIME = 5, "time of a non-canonical read, 0.1 s";
    VMIN = 6, "bytes of a non-canonical read";
    VSWTC = 7, "unused";
    VSTART = 8, "resume output";
    VSTOP = 9, "stop output";
    VSUSP = 10, "SIGTSTP";
    VEOL = 11, "a further end of line";
    VREPRINT = 12, "print the line again";
    VDISCARD = 13, "unused";
    VWERASE = 14, "erase a word";
    VLNEXT = 15, "the next character is literal";
    VEOL2 = 16, "a second further end of line";
}

constants! { u32:
    IGNBRK = 0o1, "ignore breaks";
    BRKINT = 0o2, "a break is SIGINT";
    IGNPAR = 0o4, "ignore bad parity";
    PARMRK = 0o10, "mark bad parity";
    INPCK = 0o20, "check parity";
    ISTRIP = 0o40, "seven bits";
    INLCR = 0o100, "newline becomes carriage return";
    IGNCR = 0o200, "drop carriage returns";
    ICRNL = 0o400, "carriage return becomes newline";
    IUCLC = 0o1000, "lower case";
    IXON = 0o2000, "VSTOP and VSTART control output";
    IXANY = 0o4000, "any character resumes output";
    IXOFF = 0o10000, "send VSTOP and VSTART";
    IMAXBEL = 0o20000, "bell when the input queue is full";
    IUTF8 = 0o40000, "erase whole UTF-8 characters";
}

constants! { u32:
    OPOST = 0o1, "process output";
    OLCUC = 0o2, "upper case";
    ONLCR = 0o4, "newline becomes carriage return and newline";
    OCRNL = 0o10, "carriage return becomes newline";
    ONOCR = 0o20, "no carriage return in column 0";
    ONLRET = 0o40, "newline returns the carriage";
    OFILL = 0o100, "fill characters for delays";
    OFDEL = 0o200, "the fill character is DEL";
    TABDLY = 0o14000, "mask of the tab delay";
    TAB3 = 0o14000, "tabs become spaces";
    XTABS = 0o14000, "as TAB3";
}

constants! { u32:
    CBAUD = 0o10017, "mask of the speed";
    B0 = 0, "hang up";
    B9600 = 0o15, "9,600 bits a second";
    B19200 = 0o16, "19,200 bits a second";
    B38400 = 0o17, "38,400 bits a second";
    B57600 = 0o10001, "57,600 bits a second";
    B115200 = 0o10002, "115,200 bits a second";
    BOTHER = 0o10000, "speed in Termios2";
    CSIZE = 0o60, "mask of the character size";
    CS5 = 0, "five bits";
    CS6 = 0o20, "six bits";
    CS7 = 0o40, "seven bits";
    CS8 = 0o60, "eight bits";
    CSTOPB = 0o100, "two stop bits";
    CREAD = 0o200, "receiver on";
    PARENB = 0o400, "parity";
    PARODD = 0o1000, "odd parity";
    HUPCL = 0o2000, "hang up at the last close";
    CLOCAL = 0o4000, "ignore modem lines";
    CIBAUD = 0x100f_0000, "mask of the input speed";
    CMSPAR = 0x4000_0000, "mark or space parity";
    CRTSCTS = 0x8000_0000, "hardware flow control";
}

constants! { u32:
    ISIG = 0o1, "control characters send signals";
    ICANON = 0o2, "lines, with editing";
    XCASE = 0o4, "unused";
    ECHO = 0o10, "echo input";
    ECHOE = 0o20, "VERASE erases on the screen";
    ECHOK = 0o40, "VKILL starts a new line";
    ECHONL = 0o100, "echo newline even without ECHO";
    NOFLSH = 0o200, "signals do not flush the queues";
    TOSTOP = 0o400, "background output is SIGTTOU";
    ECHOCTL = 0o1000, "control characters as ^X";
    ECHOPRT = 0o2000, "erased characters are printed";
    ECHOKE = 0o4000, "VKILL erases on the screen";
    FLUSHO = 0o10000, "output is being dropped";
    PENDIN = 0o40000, "reprint pending input";
    IEXTEN = 0o100000, "VLNEXT, VWERASE, VREPRINT work";
    EXTPROC = 0o200000, "processing is done elsewhere";
}

constants! { u32:
    TCOOFF = 0, "TCXONC: stop output";
    TCOON = 1, "TCXONC: resume output";
    TCIOFF = 2, "TCXONC: send VSTOP";
    TCION = 3, "TCXONC: send VSTART";
    TCIFLUSH = 0, "TCFLSH: input";
    TCOFLUSH = 1, "TCFLSH: output";
    TCIOFLUSH = 2, "TCFLSH: both";
}

constants! { u32:
    TCGETS = 0x5401, "read the modes";
    TCSETS = 0x5402, "set the modes now";
    TCSETSW = 0x5403, "set the modes after output";
    TCSETSF = 0x5404, "set the modes after output, drop input";
    TCGETA = 0x5405, "read the modes, old form";
    TCSETA = 0x5406, "set the modes, old form";
    TCSETAW = 0x5407, "set the modes after output, old form";
    TCSETAF = 0x5408, "set the modes after output, drop input, old form";
    TCSBRK = 0x5409, "wait for output; send a break if the argument is 0";
    TCXONC = 0x540a, "flow control";
    TCFLSH = 0x540b, "drop queued data";
    TIOCEXCL = 0x540c, "exclusive mode";
    TIOCNXCL = 0x540d, "leave exclusive mode";
    TIOCSCTTY = 0x540e, "make it the controlling terminal";
    TIOCGPGRP = 0x540f, "read the foreground group";
    TIOCSPGRP = 0x5410, "set the foreground group";
    TIOCOUTQ = 0x5411, "bytes in the output queue";
    TIOCSTI = 0x5412, "put a byte into the input";
    TIOCGWINSZ = 0x5413, "read the size";
    TIOCSWINSZ = 0x5414, "set the size";
    TIOCMGET = 0x5415, "read modem lines";
    TIOCMBIS = 0x5416, "raise modem lines";
    TIOCMBIC = 0x5417, "drop modem lines";
    TIOCMSET = 0x5418, "set modem lines";
    TIOCGSOFTCAR = 0x5419, "read CLOCAL";
    TIOCSSOFTCAR = 0x541a, "set CLOCAL";
    TIOCLINUX = 0x541c, "console functions";
    TIOCCONS = 0x541d, "redirect the console";
    TIOCGSERIAL = 0x541e, "read serial settings";
    TIOCSSERIAL = 0x541f, "set serial settings";
    TIOCPKT = 0x5420, "packet mode of a pseudo-terminal";
    TIOCNOTTY = 0x5422, "give up the controlling terminal";
    TIOCSETD = 0x5423, "set the line discipline";
    TIOCGETD = 0x5424, "read the line discipline";
    TCSBRKP = 0x5425, "send a break";
    TIOCSBRK = 0x5427, "start a break";
    TIOCCBRK = 0x5428, "end a break";
    TIOCGSID = 0x5429, "read the session";
    TCGETS2 = 0x802c_542a, "read Termios2";
    TCSETS2 = 0x402c_542b, "set Termios2 now";
    TCSETSW2 = 0x402c_542c, "set Termios2 after output";
    TCSETSF2 = 0x402c_542d, "set Termios2 after output, drop input";
    TIOCGPTN = 0x8004_5430, "number of the pseudo-terminal";
    TIOCSPTLCK = 0x4004_5431, "lock the pseudo-terminal";
    TIOCGDEV = 0x8004_5432, "device number of the console";
    TIOCSIG = 0x4004_5436, "signal through a pseudo-terminal";
    TIOCVHANGUP = 0x5437, "hang up";
    TIOCGPKT = 0x8004_5438, "read packet mode";
    TIOCGPTLCK = 0x8004_5439, "read the lock";
    TIOCGEXCL = 0x8004_5440, "read exclusive mode";
    TIOCGPTPEER = 0x5441, "open the other end";
}
