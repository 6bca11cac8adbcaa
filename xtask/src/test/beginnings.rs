//! What a kernel's command line makes of a boot, and with which words one ends.

use anyhow::Result;

use super::boots::push;
use super::guest::Guest;
use super::queue::Queue;
use super::{Stage, image};
use crate::arch::Arch;
use crate::initramfs::archive::{Entry, Kind};
use crate::run::Kernel;

/// A kernel command line.
struct Line {
    name: &'static str,
    /// Words behind those that name the console and end the machine after a panic.
    append: &'static str,
    /// What must be written, in this order, and what must not.
    written: &'static [&'static str],
    absent: &'static str,
}

const fn line(name: &'static str, append: &'static str, written: &'static [&'static str]) -> Line {
    Line { name, append, written, absent: "nothing writes this" }
}

const LINES: [Line; 19] = [
    line("quoted words for init", r#"rdinit=/bin/sh -- -c "echo one  two""#, &["one  two"]),
    line("init's environment", r#"rdinit=/bin/sh GREETING=hello -- -c "echo $GREETING $HOME""#, &["hello /"]),
    line(
        "a missing init",
        r#"rdinit=/no/such/file init=/bin/sh -- -c "echo it went on""#,
        &[
            "check access for rdinit=/no/such/file failed: -2, ignoring",
            "Run /bin/sh as init process",
            "it went on",
        ],
    ),
    line(
        "an init without its interpreter",
        r#"rdinit=/broken init=/bin/sh -- -c "echo it went on""#,
        &["Run /broken as init process", "Failed to execute /broken (error -2)", "it went on"],
    ),
    line(
        "an init that is no program",
        r#"rdinit=/text init=/bin/sh -- -c "echo it went on""#,
        &["Failed to execute /text (error -8)", "it went on"],
    ),
    line(
        "a requested init that is missing",
        "rdinit=/none init=/none/either",
        &[
            "Kernel panic - not syncing: Requested init /none/either failed (error -2).",
            "---[ end Kernel panic - not syncing: Requested init /none/either failed (error -2). ]---",
        ],
    ),
    line(
        "an init that ends",
        r#"rdinit=/bin/sh -- -c "exit 3""#,
        &["] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000300", "]---"],
    ),
    line(
        "a console that is not there",
        r#"console=ttyXYZ9 rdinit=/bin/sh -- -c :"#,
        &["console=ttyXYZ9: there is no such device"],
    ),
    Line {
        absent: "Command line",
        ..line("quiet", r#"quiet rdinit=/bin/sh -- -c "echo began""#, &["began"])
    },
    Line {
        absent: "check access",
        ..line("no messages", r#"loglevel=1 rdinit=/none init=/bin/sh -- -c "echo began""#, &["began"])
    },
    line(
        "the last log level",
        r#"quiet loglevel=7 rdinit=/bin/sh -- -c "echo began""#,
        &["Command line", "began"],
    ),
    line("all messages", r#"quiet loglevel=0 ignore_loglevel rdinit=/bin/sh -- -c :"#, &["Command line"]),
    line(
        "less memory",
        r#"mem=64M rdinit=/bin/sh -- -c "mkdir -p /proc; mount -t proc p /proc; set -- $(grep MemTotal /proc/meminfo); [ $2 -le 65536 ] && [ $2 -gt 49152 ] && echo it is less""#,
        &["it is less"],
    ),
    line(
        "messages for dmesg",
        r#"quiet rdinit=/bin/sh -- -c "mkdir -p /dev; mount -t devtmpfs d /dev; dmesg | grep process; dmesg -n 8; echo '<4>a warning' > /dev/kmsg""#,
        &["Run /bin/sh as init process", "a warning"],
    ),
    line(
        "times of shared files",
        r#"rdinit=/bin/sh -- -c "stat -c '%n %Y' /old /old/file""#,
        &["/old 1000000000", "/old/file 900000000"],
    ),
    line(
        "a question by sysrq-trigger",
        r#"quiet rdinit=/bin/sh -- -c "mkdir -p /proc; mount -t proc p /proc; echo t > /proc/sysrq-trigger; echo l > /proc/sysrq-trigger; echo it went on""#,
        &["sysrq: Show State", "task:sh ", "sysrq: end", "backtrace of all active CPUs", "it went on"],
    ),
    Line {
        absent: "it went on",
        ..line(
            "a crash by sysrq-trigger",
            r#"quiet rdinit=/bin/sh -- -c "mkdir -p /proc; mount -t proc p /proc; echo c > /proc/sysrq-trigger; echo it went on""#,
            &["sysrq: Trigger a crash", "Kernel panic - not syncing: sysrq triggered crash"],
        )
    },
    Line {
        absent: "it went on",
        ..line(
            "power off by sysrq-trigger",
            r#"quiet rdinit=/bin/sh -- -c "mkdir -p /proc; mount -t proc p /proc; echo o > /proc/sysrq-trigger; sleep 1; echo it went on""#,
            &["sysrq: Power Off"],
        )
    },
    Line {
        absent: "not shown",
        ..line(
            "log levels in /proc/sys",
            r#"quiet rdinit=/bin/sh -- -c "mkdir -p /proc /dev; mount -t proc p /proc; mount -t devtmpfs d /dev; cd /proc/sys/kernel; echo '<4>not shown' > /dev/kmsg; echo 5 5 > printk; echo '<4>is shown' > /dev/kmsg; echo 'not shown' > /dev/kmsg""#,
            &["is shown"],
        )
    },
];

/// Compressed archives of one file each, `from-KIND`, whose content is `from KIND`; and one with a file of 40 MiB of
/// zeroes.
const GZIP: &[u8] = include_bytes!("initramfs/file.cpio.gz");
const XZ: &[u8] = include_bytes!("initramfs/file.cpio.xz");
const ZSTD: &[u8] = include_bytes!("initramfs/file.cpio.zst");
const BZIP2: &[u8] = include_bytes!("initramfs/file.cpio.bz2");
const LARGE: &[u8] = include_bytes!("initramfs/large.cpio.xz");

/// An initramfs with more behind busybox's archive.
struct Initramfs {
    parts: &'static [&'static [u8]],
    line: Line,
}

/// Shows the files of all parts that could be unpacked.
const SHOW: &str = r#"rdinit=/bin/sh -- -c "cat /from-*; echo it went on""#;

const INITRAMFS: [Initramfs; 5] = [
    Initramfs {
        parts: &[XZ, &[0; 7], ZSTD, GZIP],
        line: line("compressed archives", SHOW, &["from gz", "from xz", "from zst", "it went on"]),
    },
    Initramfs {
        parts: &[ZSTD, XZ.split_at(XZ.len() / 2).0],
        line: line(
            "an archive that is cut off",
            SHOW,
            &["] Initramfs unpacking failed: ", "from zst", "it went on"],
        ),
    },
    Initramfs {
        parts: &[b"070701 and nothing that follows from it"],
        line: line("an archive that is broken", SHOW, &["] Initramfs unpacking failed: ", "it went on"]),
    },
    Initramfs {
        parts: &[BZIP2],
        line: line(
            "an archive of an unknown kind",
            SHOW,
            &["] Initramfs unpacking failed: compression method bzip2 not configured", "it went on"],
        ),
    },
    Initramfs {
        parts: &[LARGE],
        line: Line {
            absent: "it went on",
            ..line(
                "an archive that does not fit",
                r#"quiet mem=64M rdinit=/bin/sh -- -c "echo it went on""#,
                &["Kernel panic - not syncing: Initramfs unpacking failed: write error"],
            )
        },
    },
];

/// Adds all of them to `queue`.
pub fn add<'a>(stage: &'a Stage<'_>, arch: Arch, queue: &Queue<'a>) -> Result<()> {
    let mut archive = image::busybox(stage, arch)?;
    archive.insert_file("broken", 0o755, b"#!/no/such/interpreter\n")?;
    archive.insert_file("text", 0o755, b"This is no program.\n")?;
    for (path, time, kind) in
        [("old", 1_000_000_000, Kind::Directory), ("old/file", 900_000_000, Kind::File(b"old".to_vec()))]
    {
        archive.insert(path, Entry { time, ..Entry::new(0o755, kind) })?;
    }
    for line in LINES {
        let mut guest = image::guest(stage, arch, &Kernel::Orlop, "beginnings", &archive)?;
        guest.append = line.append.to_owned();
        push(stage, queue, format!("boot/{arch}/{}", line.name), move || writes(&guest, &line));
    }
    for initramfs in INITRAMFS {
        let name = initramfs.line.name;
        if !stage.wants(&format!("boot/{arch}/{name}")) {
            continue;
        }
        let mut guest = image::guest(stage, arch, &Kernel::Orlop, name, &archive)?;
        let mut bytes = std::fs::read(&guest.initramfs)?;
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(initramfs.parts.concat());
        std::fs::write(&guest.initramfs, bytes)?;
        guest.append = initramfs.line.append.to_owned();
        push(stage, queue, format!("boot/{arch}/{name}"), move || writes(&guest, &initramfs.line));
    }
    Ok(())
}

fn writes(guest: &Guest, line: &Line) -> Result<Result<(), String>> {
    let output = guest.run_to_end()?;
    let output = String::from_utf8_lossy(&output);
    let mut rest = &*output;
    for written in line.written {
        match rest.split_once(written) {
            Some((_, after)) => rest = after,
            None => return Ok(Err(format!("{written} is not in\n{output}"))),
        }
    }
    Ok(if output.contains(line.absent) { Err(format!("{} is in\n{output}", line.absent)) } else { Ok(()) })
}
