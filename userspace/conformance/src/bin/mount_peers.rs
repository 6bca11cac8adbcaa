//! Mounts that pass on what is mounted in them: to whom, what becomes of what lies there, and how much of it there may
//! be.
#![no_std]
#![no_main]

extern crate alloc;

use abi::Errno;
use abi::fs::*;
use abi::native::nr;
use alloc::format;
use conformance::mount_table::*;
use conformance::{Failure, Outcome, check, check_eq, child, files, raw};
use libsyscall::file::*;

conformance::tests!(&[
    ("masters_of_masters", masters_of_masters),
    ("trees_are_passed_on", trees_are_passed_on),
    ("into_itself", into_itself),
    ("only_what_shows_the_place_gets_it", only_what_shows_the_place_gets_it),
    ("what_lies_there_stays_on_top", what_lies_there_stays_on_top),
    ("use_of_one_is_use_of_all", use_of_one_is_use_of_all),
    ("trees_that_are_detached", trees_that_are_detached),
    ("what_lies_inside_keeps_a_mount", what_lies_inside_keeps_a_mount),
    ("groups_that_lose_members", groups_that_lose_members),
    ("masters_outside_of_the_root", masters_outside_of_the_root),
    ("roots_that_are_shared", roots_that_are_shared),
    ("a_thousand_peers", a_thousand_peers),
    ("a_bound_for_all", a_bound_for_all),
]);

/// A shared tmpfs `p` with directories `d` and `e`, and its peer `q`.
fn two() -> Outcome {
    tmpfs("p")?;
    set("p", MS_SHARED)?;
    for path in ["p/d", "p/e"] {
        folder(path)?;
    }
    bind("p", "q")
}

fn masters_of_masters() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    two()?;
    for path in ["a", "b", "c"] {
        bind(if path == "c" { "b" } else { "q" }, path)?;
        set(path, MS_SLAVE)?;
        if path == "b" {
            set(path, MS_SHARED)?;
        }
    }
    bind("b", "b2")?;
    check_eq!(
        shown()?,
        "a master:A, b shared:B master:A, b2 shared:B master:A, c master:B, p shared:A, q shared:A"
    );
    tmpfs("p/d")?;
    check_eq!(
        shown()?,
        "a master:A, a/d master:B, b shared:C master:A, b/d shared:D master:B, b2 shared:C master:A, \
         b2/d shared:D master:B, c master:C, c/d master:D, p shared:A, p/d shared:B, q shared:A, q/d shared:B"
    );
    // From the middle it goes down only.
    tmpfs("b2/e")?;
    check_eq!(shown()?.matches("/e").count(), 3);
    unmount("b/e", 0)?;
    check_eq!(shown()?.matches("/e").count(), 0);
    unmount("q/d", 0)?;
    check_eq!(shown()?.matches("/d").count(), 0);
    // Where the middle does not show the place, what is below has its master farther up.
    folder("p/e/f")?;
    bind("b/d", "n")?;
    check_eq!(change("b/e", "b3", MS_BIND).err(), Some(Errno::ENOENT));
    Ok(())
}

fn trees_are_passed_on() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    two()?;
    bind("q", "s")?;
    set("s", MS_SLAVE)?;
    tmpfs("t")?;
    for path in ["t/x", "t/x/y", "t/z", "t/u"] {
        tmpfs(path)?;
    }
    set("t/x", MS_SHARED)?;
    set("t/u", MS_UNBINDABLE)?;
    bind_tree("t", "q/d")?;
    check_eq!(
        shown()?,
        "p shared:A, p/d shared:B, p/d/x shared:C, p/d/x/y shared:D, p/d/z shared:E, \
         q shared:A, q/d shared:B, q/d/x shared:C, q/d/x/y shared:D, q/d/z shared:E, \
         s master:A, s/d master:B, s/d/x master:C, s/d/x/y master:D, s/d/z master:E, \
         t, t/u unbindable, t/x shared:C, t/x/y, t/z"
    );
    check_eq!(unmount("p/d", 0), Err(Errno::EBUSY));
    // What is inside goes with its like elsewhere, what lies in a private mount by itself.
    unmount("t/x", MNT_DETACH)?;
    check_eq!((shown()?.matches("/x").count(), shown()?.matches("/y").count()), (3, 0));
    unmount("s/d/z", 0)?;
    unmount("p/d", MNT_DETACH)?;
    check_eq!(shown()?, "p shared:A, q shared:A, s master:A, t, t/u unbindable, t/z");
    Ok(())
}

fn into_itself() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    two()?;
    bind("p", "p/d")?;
    check_eq!(shown()?, "p shared:A, p/d shared:A, q shared:A, q/d shared:A");
    bind("q", "p/e")?;
    check_eq!(
        shown()?,
        "p shared:A, p/d shared:A, p/d/e shared:A, p/e shared:A, q shared:A, q/d shared:A, q/d/e shared:A, q/e shared:A"
    );
    unmount("q/e", 0)?;
    check_eq!(shown()?, "p shared:A, p/d shared:A, q shared:A, q/d shared:A");
    bind_tree("p", "q/e")?;
    check_eq!(
        shown()?,
        "p shared:A, p/d shared:A, p/d/e shared:A, p/d/e/d shared:A, p/e shared:A, p/e/d shared:A, \
         q shared:A, q/d shared:A, q/d/e shared:A, q/d/e/d shared:A, q/e shared:A, q/e/d shared:A"
    );
    unmount("p", MNT_DETACH)?;
    check_eq!(shown()?, "q shared:A");
    Ok(())
}

fn only_what_shows_the_place_gets_it() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    two()?;
    folder("p/d/in")?;
    bind("p/d", "v")?;
    bind("p/e", "w")?;
    check_eq!(shown()?, "p shared:A, q shared:A, v shared:A, w shared:A");
    tmpfs("q/d/in")?;
    check_eq!(
        shown()?,
        "p shared:A, p/d/in shared:B, q shared:A, q/d/in shared:B, v shared:A, v/in shared:B, w shared:A"
    );
    tmpfs("w/x")?;
    check_eq!(shown()?.matches("x shared").count(), 3);
    unmount("v/in", 0)?;
    unmount("p/e/x", 0)?;
    check_eq!(shown()?, "p shared:A, q shared:A, v shared:A, w shared:A");
    // A removed name takes nothing.
    let fd = open(c"p/d/in", O_PATH, 0)?;
    files::rmdir(c"v/in")?;
    check_eq!(change("w", &format!("/proc/self/fd/{fd}"), MS_BIND), Err(Errno::ENOENT));
    // Masters are of what shows it above.
    set("w", MS_SLAVE)?;
    set("w", MS_SHARED)?;
    folder("p/e/f")?;
    bind("w/f", "below")?;
    set("below", MS_SLAVE)?;
    unmount("w", 0)?;
    check_eq!(shown()?, "below master:A, p shared:A, q shared:A, v shared:A");
    Ok(())
}

fn what_lies_there_stays_on_top() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    two()?;
    bind("q", "s")?;
    set("s", MS_SLAVE)?;
    tmpfs("s/d")?;
    close(files::create(c"s/d/own", b"")?)?;
    tmpfs("p/d")?;
    check!(files::exists(c"s/d/own"));
    check_eq!(shown()?, "p shared:A, p/d shared:B, q shared:A, q/d shared:B, s master:A, s/d master:B, s/d");
    // Once more: the newest lies right below.
    tmpfs("q/d")?;
    check!(files::exists(c"s/d/own") && !files::exists(c"p/d/own"));
    check_eq!(shown()?.matches("/d").count(), 7);
    unmount("p/d", 0)?;
    unmount("q/d", 0)?;
    check!(files::exists(c"s/d/own"));
    check_eq!(shown()?, "p shared:A, q shared:A, s master:A, s/d");
    let lines = here()?;
    let id = |place: &str| lines.iter().find(|line| line.place == place).map(|line| line.id);
    check_eq!(lines.iter().find(|line| line.place == "s/d").map(|line| line.parent), id("s"));
    unmount("s/d", 0)?;
    check_eq!(unmount("s/d", 0), Err(Errno::EINVAL));
    Ok(())
}

fn use_of_one_is_use_of_all() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    two()?;
    bind("q", "s")?;
    set("s", MS_SLAVE)?;
    tmpfs("p/d")?;
    for path in [c"p/d", c"q/d", c"s/d"] {
        let fd = open(path, O_RDONLY, 0)?;
        check_eq!((unmount("p/d", 0), unmount("q/d", 0)), (Err(Errno::EBUSY), Err(Errno::EBUSY)));
        check_eq!(unmount("s/d", 0).is_ok(), path != c"s/d");
        if path != c"s/d" {
            // What is not there any more is used by nobody.
            unmount("p/d", MNT_DETACH)?;
            close(fd)?;
            tmpfs("p/d")?;
        } else {
            close(fd)?;
        }
    }
    // What lies on top is no use.
    tmpfs("s/d")?;
    let fd = open(c"s/d", O_RDONLY, 0)?;
    check_eq!(unmount("p/d", 0), Ok(()));
    close(fd)?;
    check_eq!(shown()?, "p shared:A, q shared:A, s master:A, s/d");
    Ok(())
}

fn what_lies_inside_keeps_a_mount() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    two()?;
    bind("q", "s")?;
    set("s", MS_SLAVE)?;
    tmpfs("p/d")?;
    tmpfs("s/d/in")?;
    // A mount of a slave's with something in it stays, whoever uses it.
    let fd = open(c"s/d", O_RDONLY, 0)?;
    unmount("p/d", 0)?;
    close(fd)?;
    check_eq!(shown()?, "p shared:A, q shared:A, s master:A, s/d, s/d/in");
    unmount("s/d", MNT_DETACH)?;
    // The same with a tree, of which a part stays.
    tmpfs("p/d")?;
    for path in ["p/d/x", "p/d/y", "p/d/x/z"] {
        tmpfs(path)?;
    }
    tmpfs("s/d/x/own")?;
    unmount("p/d", MNT_DETACH)?;
    check_eq!(shown()?, "p shared:A, q shared:A, s master:A, s/d, s/d/x, s/d/x/own");
    Ok(())
}

fn trees_that_are_detached() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    two()?;
    for path in ["p/d", "q/d/x", "p/d/x/y", "p/e"] {
        tmpfs(path)?;
    }
    let fd = open(c"q/d/x", O_RDONLY | O_DIRECTORY, 0)?;
    check_eq!((unmount("p/d/x/y", MNT_EXPIRE), unmount("p/d", MNT_DETACH)), (Err(Errno::EAGAIN), Ok(())));
    check_eq!(shown()?, "p shared:A, p/e shared:B, q shared:A, q/e shared:B");
    check!(openat(fd, c"y", O_RDONLY, 0).is_ok());
    // Nothing comes to what is gone.
    mkdirat(fd, c"new", 0o755)?;
    tmpfs("p/e/new")?;
    // The peers go on without one of them, and without what was in it.
    let root = open(c"p", O_RDONLY | O_DIRECTORY, 0)?;
    unmount("p", MNT_DETACH)?;
    check_eq!(shown()?, "q shared:A");
    tmpfs("q/d")?;
    close(files::create(c"q/d/f", b"")?)?;
    check_eq!(openat(root, c"d/f", O_RDONLY, 0).err(), Some(Errno::ENOENT));
    Ok(())
}

fn groups_that_lose_members() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    two()?;
    bind("p", "s")?;
    set("s", MS_SLAVE)?;
    set("s", MS_SHARED)?;
    bind("s", "t")?;
    set("t", MS_SLAVE)?;
    bind("s", "u")?;
    check_eq!(shown()?, "p shared:A, q shared:A, s shared:B master:A, t master:B, u shared:B master:A");
    unmount("s", 0)?;
    check_eq!(shown()?, "p shared:A, q shared:A, t master:B, u shared:B master:A");
    // The last of a group: its slaves go to its master.
    set("u", MS_PRIVATE)?;
    check_eq!(shown()?, "p shared:A, q shared:A, t master:A, u");
    set("p", MS_SLAVE)?;
    check_eq!(shown()?, "p master:A, q shared:A, t master:A, u");
    unmount("q", 0)?;
    check_eq!(shown()?, "p, t, u");
    tmpfs("p/d")?;
    check_eq!(shown()?, "p, p/d, t, u");
    Ok(())
}

fn masters_outside_of_the_root() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    two()?;
    tmpfs("r")?;
    for path in ["r/proc", "r/x"] {
        folder(path)?;
    }
    libsyscall::system::mount(c"p", c"r/proc", c"proc", 0, None)?;
    bind("p", "m")?;
    set("m", MS_SLAVE)?;
    set("m", MS_SHARED)?;
    bind("m", "r/x")?;
    set("r/x", MS_SLAVE)?;
    check_eq!(shown()?, "m shared:A master:B, p shared:B, q shared:B, r, r/proc, r/x master:A");
    // Seen from `r`, neither master is there; then the farther one is.
    let seen = || -> Outcome {
        raw::call(nr::chroot, &[c"r".as_ptr() as u64])?;
        chdir(c"/")?;
        let lines = all()?;
        let tags = |place: &str| lines.iter().find(|line| line.place == place).map(|line| line.tags.len());
        check_eq!((tags("/x"), tags("/proc"), tags("/p")), (Some(1), Some(0), None));
        Ok(())
    };
    check!(child::succeeds(seen)?);
    folder("r/far")?;
    change("q", "r/far", MS_BIND)?;
    let farther = || -> Outcome {
        raw::call(nr::chroot, &[c"r".as_ptr() as u64])?;
        chdir(c"/")?;
        let lines = all()?;
        let tags = |place: &str| lines.iter().find(|line| line.place == place).map(|line| line.tags.clone());
        let (x, far) = (tags("/x").unwrap_or_default(), tags("/far").unwrap_or_default());
        let group = far.first().and_then(|tag| tag.split(':').nth(1)).unwrap_or_default();
        check_eq!((x.len(), x.last().cloned()), (2, Some(format!("propagate_from:{group}"))));
        Ok(())
    };
    check!(child::succeeds(farther)?);
    Ok(())
}

fn roots_that_are_shared() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    tmpfs("r")?;
    tmpfs("r/new")?;
    folder("r/new/old")?;
    let pivot =
        || raw::call(nr::pivot_root, &[c"/new".as_ptr() as u64, c"/new/old".as_ptr() as u64]).map(drop);
    let try_with = |shared: &'static str| -> Result<bool, Failure> {
        if !shared.is_empty() {
            set(shared, MS_SHARED)?;
        }
        let result = child::succeeds(|| {
            raw::call(nr::chroot, &[c"r".as_ptr() as u64])?;
            chdir(c"/")?;
            check_eq!(pivot(), Err(Errno::EINVAL));
            Ok(())
        })?;
        if !shared.is_empty() {
            set(shared, MS_PRIVATE)?;
        }
        Ok(result)
    };
    check!(try_with("r")? && try_with("r/new")?);
    check!(try_with(".")?);
    Ok(())
}

/// Each of many peers gets what is mounted in one, and loses it.
fn a_thousand_peers() -> Outcome {
    const COUNT: usize = 1000;
    if !begin()? {
        return Ok(());
    }
    two()?;
    for number in 0..COUNT {
        bind("p", &format!("{number}"))?;
        if number % 3 == 0 {
            set(&format!("{number}"), MS_SLAVE)?;
        }
    }
    tmpfs("p/d")?;
    check_eq!(here()?.len(), 2 * (COUNT + 2));
    close(files::create(c"q/d/f", b"")?)?;
    check!(files::exists(c"999/d/f") && files::exists(c"998/d/f"));
    unmount("1/d", 0)?;
    check_eq!(here()?.len(), COUNT + 2);
    // All at once, with one inside each.
    unmount("q", 0)?;
    tmpfs("all")?;
    for number in 0..COUNT {
        folder(&format!("all/{number}"))?;
        change(&format!("{number}"), &format!("all/{number}"), MS_MOVE)?;
    }
    tmpfs("p/d")?;
    check_eq!(here()?.len(), 2 * COUNT + 3);
    unmount("all", MNT_DETACH)?;
    check_eq!(shown()?, "p shared:A");
    Ok(())
}

/// `fs.mount-max` counts all copies, and what fails leaves nothing behind.
fn a_bound_for_all() -> Outcome {
    if !begin()? {
        return Ok(());
    }
    two()?;
    bind("p", "s")?;
    set("s", MS_SLAVE)?;
    tmpfs("t")?;
    tmpfs("t/in")?;
    let before = shown()?;
    let bound = files::page("/proc/sys/fs/mount-max")?;
    let there = all()?.len();
    for more in 0..6 {
        files::store("/proc/sys/fs/mount-max", &format!("{}", there + more))?;
        let bound_tree = change("t", "p/d", MS_BIND | MS_REC);
        check_eq!((more, bound_tree, shown()? == before), (more, Err(Errno::ENOSPC), true));
    }
    // To be moved, it needs room only for what is passed on.
    files::store("/proc/sys/fs/mount-max", &format!("{}", there + 3))?;
    check_eq!((change("t", "p/d", MS_MOVE), shown()? == before), (Err(Errno::ENOSPC), true));
    files::store("/proc/sys/fs/mount-max", &format!("{}", there + 4))?;
    let moved = change("t", "p/d", MS_MOVE);
    files::store("/proc/sys/fs/mount-max", bound.trim())?;
    check_eq!((moved, here()?.len()), (Ok(()), 9));
    Ok(())
}
