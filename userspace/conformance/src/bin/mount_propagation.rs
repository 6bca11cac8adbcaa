//! Mounts that are shared with others: peer groups, masters and slaves, and what happens to all of them.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use alloc::format;
use conformance::mount_table::*;
use conformance::{Outcome, check, check_eq, files, raw};
use libsyscall::file::*;

conformance::tests!(&[
    ("every_state_and_every_change", every_state_and_every_change),
    ("changes_of_trees", changes_of_trees),
    ("odd_changes", odd_changes),
    ("views_of_every_state", views_of_every_state),
    ("views_below_shared_mounts", views_below_shared_mounts),
    ("moves", moves),
    ("moves_that_cannot_be", moves_that_cannot_be),
    ("mounts_and_their_ends_are_passed_on", mounts_and_their_ends_are_passed_on),
]);

const STATES: [&str; 6] = ["private", "shared", "peer", "slave", "both", "unbindable"];

/// Makes `m` a mount with this state; what it is related to is at `other`.
fn make(state: &str) -> Outcome {
    tmpfs("m")?;
    match state {
        "shared" => set("m", MS_SHARED)?,
        "peer" | "slave" | "both" => {
            set("m", MS_SHARED)?;
            bind("m", "other")?;
            if state != "peer" {
                set("m", MS_SLAVE)?;
            }
            if state == "both" {
                set("m", MS_SHARED)?;
            }
        }
        "unbindable" => set("m", MS_UNBINDABLE)?,
        _ => {}
    }
    Ok(())
}

fn unmake() {
    while unmount("m", MNT_DETACH).is_ok() || unmount("other", MNT_DETACH).is_ok() {}
}

fn every_state_and_every_change() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let expected = [
        ["m shared:A", "m", "m", "m unbindable"],
        ["m shared:A", "m", "m", "m unbindable"],
        [
            "m shared:A, other shared:A",
            "m master:A, other shared:A",
            "m, other shared:A",
            "m unbindable, other shared:A",
        ],
        [
            "m shared:A master:B, other shared:B",
            "m master:A, other shared:A",
            "m, other shared:A",
            "m unbindable, other shared:A",
        ],
        [
            "m shared:A master:B, other shared:B",
            "m master:A, other shared:A",
            "m, other shared:A",
            "m unbindable, other shared:A",
        ],
        ["m shared:A", "m unbindable", "m", "m unbindable"],
    ];
    for (state, expected) in STATES.iter().zip(expected) {
        for (flag, expected) in [MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE].iter().zip(expected) {
            make(state)?;
            set("m", *flag)?;
            check_eq!((state, flag, shown()?.as_str()), (state, flag, expected));
            unmake();
        }
    }
    Ok(())
}

fn changes_of_trees() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    for path in ["m", "m/a", "m/a/b", "m/c"] {
        tmpfs(path)?;
    }
    set("m", MS_SHARED)?;
    check_eq!(shown()?, "m shared:A, m/a, m/a/b, m/c");
    set("m/a", MS_SHARED | MS_REC)?;
    check_eq!(shown()?, "m shared:A, m/a shared:B, m/a/b shared:C, m/c");
    set("m", MS_UNBINDABLE | MS_REC | MS_SILENT)?;
    check_eq!(shown()?, "m unbindable, m/a unbindable, m/a/b unbindable, m/c unbindable");
    set("m", MS_SHARED | MS_REC)?;
    bind_tree("m", "n")?;
    set("m", MS_SLAVE | MS_REC)?;
    check_eq!(
        shown()?,
        "m master:A, m/a master:B, m/a/b master:C, m/c master:D, \
         n shared:A, n/a shared:B, n/a/b shared:C, n/c shared:D"
    );
    Ok(())
}

fn odd_changes() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    tmpfs("m")?;
    folder("m/d")?;
    let invalid = Err(Errno::EINVAL);
    for flags in
        [MS_SHARED | MS_PRIVATE, MS_SLAVE | MS_UNBINDABLE, MS_SHARED | MS_RDONLY, MS_SHARED | MS_BIND]
    {
        check_eq!((flags, set("m", flags)), (flags, invalid));
    }
    check_eq!((set("m/d", MS_SHARED), set("m/none", MS_SHARED)), (invalid, Err(Errno::ENOENT)));
    check_eq!(set("m", MS_SHARED | MS_NOUSER), invalid);
    check_eq!(shown()?, "m");
    // A removed name takes nothing, and one with something on it stays.
    let here = open(c".", O_RDONLY, 0)?;
    folder("gone")?;
    folder("n")?;
    change("m", "n", MS_BIND)?;
    chdir(c"gone")?;
    check_eq!(
        (unlinkat(here, c"gone", AT_REMOVEDIR), unlinkat(here, c"n", AT_REMOVEDIR)),
        (Ok(()), Err(Errno::EBUSY))
    );
    check_eq!(libsyscall::system::mount(c"t", c".", c"tmpfs", 0, None), Err(Errno::ENOENT));
    check_eq!(change("../m", ".", MS_BIND), Err(Errno::ENOENT));
    raw::call(nr::fchdir, &[here as u64])?;
    unmount("n", 0)?;
    check_eq!(files::rmdir(c"n"), Ok(()));
    // What was detached is nobody's.
    let fd = open(c"m", O_PATH, 0)?;
    unmount("m", MNT_DETACH)?;
    check_eq!(change(&format!("/proc/self/fd/{fd}"), "m", MS_BIND), invalid);
    check_eq!(change("m", &format!("/proc/self/fd/{fd}"), MS_BIND), invalid);
    files::as_user(|| {
        check_eq!(set("m", MS_SHARED), Err(Errno::EPERM));
        Ok(())
    })
}

fn views_of_every_state() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let expected = [
        "m, n",
        "m shared:A, n shared:A",
        "m shared:A, n shared:A, other shared:A",
        "m master:A, n master:A, other shared:A",
        "m shared:A master:B, n shared:A master:B, other shared:B",
    ];
    folder("n")?;
    for (state, expected) in STATES.iter().zip(expected) {
        for flags in [MS_BIND, MS_BIND | MS_REC] {
            make(state)?;
            change("m", "n", flags)?;
            check_eq!((state, shown()?.as_str()), (state, expected));
            unmount("n", 0)?;
            unmake();
        }
    }
    make("unbindable")?;
    folder("m/d")?;
    for from in ["m", "m/d"] {
        check_eq!(
            (change(from, "n", MS_BIND), change(from, "n", MS_BIND | MS_REC)),
            (Err(Errno::EINVAL), Err(Errno::EINVAL))
        );
    }
    // In a tree it is passed over, with all inside.
    tmpfs("t")?;
    for path in ["t/a", "t/a/b", "t/c"] {
        tmpfs(path)?;
    }
    set("t/a", MS_UNBINDABLE)?;
    bind_tree("t", "n")?;
    check_eq!(shown()?, "m unbindable, n, n/c, t, t/a unbindable, t/a/b, t/c");
    Ok(())
}

fn views_below_shared_mounts() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let expected = [
        "m shared:A, p shared:B, p/d shared:A, q shared:B, q/d shared:A",
        "m shared:A, p shared:B, p/d shared:A, q shared:B, q/d shared:A",
        "m shared:A, other shared:A, p shared:B, p/d shared:A, q shared:B, q/d shared:A",
        "m master:A, other shared:A, p shared:B, p/d shared:C master:A, q shared:B, q/d shared:C master:A",
        "m shared:A master:B, other shared:B, p shared:C, p/d shared:A master:B, q shared:C, q/d shared:A master:B",
    ];
    for (state, expected) in STATES.iter().zip(expected) {
        make(state)?;
        tmpfs("p")?;
        set("p", MS_SHARED)?;
        bind("p", "q")?;
        bind("m", "p/d")?;
        let expected = if *state == "private" {
            "m, p shared:A, p/d shared:B, q shared:A, q/d shared:B"
        } else {
            expected
        };
        check_eq!((state, shown()?.as_str()), (state, expected));
        unmount("q/d", 0)?;
        check!(!shown()?.contains("p/d"));
        unmount("p", 0)?;
        unmount("q", 0)?;
        unmake();
    }
    Ok(())
}

/// `p` shared with `q`, of which `s` is a slave.
fn three() -> Outcome {
    tmpfs("p")?;
    set("p", MS_SHARED)?;
    for path in ["p/d", "p/e"] {
        folder(path)?;
    }
    bind("p", "q")?;
    bind("p", "s")?;
    set("s", MS_SLAVE)?;
    check_eq!(shown()?, "p shared:A, q shared:A, s master:A");
    Ok(())
}

fn moves() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    let moved = "p shared:A, p/d shared:B, q shared:A, q/d shared:B, s master:A, s/d master:B";
    for state in ["private", "shared"] {
        three()?;
        make(state)?;
        change("m", "p/d", MS_MOVE)?;
        check_eq!((state, shown()?.as_str()), (state, moved));
        for path in ["s", "q", "p"] {
            unmount(path, MNT_DETACH)?;
        }
    }
    // Out of a slave, which passes nothing on.
    three()?;
    tmpfs("p/d")?;
    folder("out")?;
    change("s/d", "out", MS_MOVE)?;
    check_eq!(shown()?, "out master:A, p shared:B, p/d shared:A, q shared:B, q/d shared:A, s master:B");
    // Its like are not taken away with it.
    unmount("p/d", 0)?;
    check_eq!(shown()?, "out, p shared:A, q shared:A, s master:A");
    // A tree, into shared ground.
    tmpfs("tree")?;
    tmpfs("tree/in")?;
    change("tree", "q/e", MS_MOVE)?;
    check_eq!(
        shown()?,
        "out, p shared:A, p/e shared:B, p/e/in shared:C, q shared:A, q/e shared:B, q/e/in shared:C, \
         s master:A, s/e master:B, s/e/in master:C"
    );
    Ok(())
}

fn moves_that_cannot_be() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    three()?;
    tmpfs("p/d")?;
    folder("out")?;
    let invalid = Err(Errno::EINVAL);
    check_eq!((change("p/d", "out", MS_MOVE), change("q/d", "p/e", MS_MOVE)), (invalid, invalid));
    tmpfs("tree")?;
    tmpfs("tree/in")?;
    set("tree/in", MS_UNBINDABLE)?;
    check_eq!((change("tree", "p/e", MS_MOVE), change("tree/in", "q/e", MS_MOVE)), (invalid, invalid));
    // Where nothing is passed on, it may go.
    check_eq!((change("tree", "s/e", MS_MOVE), change("s/e", "out", MS_MOVE)), (Ok(()), Ok(())));
    check_eq!(shown()?.matches("unbindable").count(), 1);
    check_eq!(change("out", "out/in", MS_MOVE), Err(Errno::ELOOP));
    close(files::create(c"file", b"")?)?;
    check_eq!(
        (change("out", "file", MS_MOVE), change("out/none", "p", MS_MOVE)),
        (invalid, Err(Errno::ENOENT))
    );
    check_eq!((change("s/d", "s/d", MS_MOVE), change("file", "out", MS_MOVE)), (Err(Errno::ELOOP), invalid));
    Ok(())
}

fn mounts_and_their_ends_are_passed_on() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    three()?;
    tmpfs("p/d")?;
    close(files::create(c"p/d/f", b"")?)?;
    check!(files::exists(c"q/d/f") && files::exists(c"s/d/f"));
    check_eq!(shown()?, "p shared:A, p/d shared:B, q shared:A, q/d shared:B, s master:A, s/d master:B");
    // A slave's are its own.
    tmpfs("s/e")?;
    check_eq!(shown()?.matches("/e").count(), 1);
    unmount("s/d", 0)?;
    check!(files::exists(c"q/d/f") && !files::exists(c"s/d/f"));
    unmount("q/d", 0)?;
    check_eq!(shown()?, "p shared:A, q shared:A, s master:A, s/e");
    // What a slave has mounted itself is not taken away, and what was moved there is not known.
    tmpfs("q/e")?;
    check_eq!(shown()?.matches("s/e").count(), 2);
    unmount("p/e", 0)?;
    check_eq!(shown()?, "p shared:A, q shared:A, s master:A, s/e");
    // One that is private again gets nothing.
    set("q", MS_PRIVATE)?;
    tmpfs("p/d")?;
    check!(!files::exists(c"q/d/f") && shown()?.contains("q, s"));
    Ok(())
}
