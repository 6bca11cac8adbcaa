//! Instances that watch instances.
use super::*;
use abi::poll::Pollfd;

const NOW: Option<Timespec> = Some(Timespec { tv_sec: 0, tv_nsec: 0 });

fn instances(count: usize) -> Result<Vec<i32>, Errno> {
    (0..count).map(|_| instance()).collect()
}

fn is_readable(fd: i32) -> Result<bool, Errno> {
    Ok(ppoll(&mut [Pollfd { fd, events: POLLIN, revents: 0 }], NOW)? == 1)
}

/// Five instances make the longest chain, from whichever end it is built.
pub fn chains_have_an_end() -> Outcome {
    let from_top = instances(7)?;
    let linked: Vec<_> = from_top.windows(2).map(|pair| add(pair[0], pair[1], IN)).collect();
    check_eq!(linked[..4], [Ok(()); 4]);
    check_eq!((linked[4], linked[5]), (Err(Errno::ELOOP), Ok(())));
    let from_bottom = instances(7)?;
    let linked: Vec<_> = from_bottom.windows(2).map(|pair| add(pair[1], pair[0], IN)).collect();
    check_eq!(linked[..4], [Ok(()); 4]);
    check_eq!((linked[4], linked[5]), (Err(Errno::ELOOP), Ok(())));
    // Two halves, each of which may be.
    let halves = instances(6)?;
    for (outer, inner) in [(0, 1), (1, 2), (3, 4), (4, 5)] {
        add(halves[outer], halves[inner], IN)?;
    }
    check_eq!(add(halves[2], halves[3], IN), Err(Errno::ELOOP));
    check_eq!(add(halves[1], halves[3], IN), Ok(()));
    Ok(())
}

pub fn circles_are_refused() -> Outcome {
    let [a, b, c] = [instance()?, instance()?, instance()?];
    add(a, b, IN)?;
    check_eq!(add(b, a, IN), Err(Errno::ELOOP));
    add(b, c, IN)?;
    check_eq!(add(c, a, IN), Err(Errno::ELOOP));
    // Two ways to the same are no circle.
    check_eq!(add(a, c, IN), Ok(()));
    control(a, EPOLL_CTL_DEL, b, 0)?;
    check_eq!(add(c, a, IN), Err(Errno::ELOOP));
    control(a, EPOLL_CTL_DEL, c, 0)?;
    check_eq!(add(c, a, IN), Ok(()));
    Ok(())
}

/// `most` instances may watch the last of a chain above a file, and no more.
fn count_ways(links: usize, most: usize) -> Outcome {
    let fd = counter(0)?;
    let chain = instances(links)?;
    for pair in chain.windows(2) {
        add(pair[1], pair[0], IN)?;
    }
    add(chain[0], fd, IN)?;
    let top = chain[links - 1];
    for _ in 0..most {
        add(instance()?, top, IN)?;
    }
    let refused = instance()?;
    check_eq!((links, add(refused, top, IN)), (links, Err(Errno::EINVAL)));
    // It is as if it had not been asked for.
    check_eq!(control(refused, EPOLL_CTL_DEL, top, 0), Err(Errno::ENOENT));
    for other in 3..=refused {
        let _ = close(other);
    }
    Ok(())
}

pub fn ways_are_counted() -> Outcome {
    for (links, most) in [(1, 500), (2, 100), (3, 50), (4, 10)] {
        count_ways(links, most)?;
    }
    // Instances that nobody watches may be any number.
    let fd = counter(0)?;
    for _ in 0..600 {
        add(instance()?, fd, IN)?;
    }
    Ok(())
}

pub fn news_go_up_a_chain() -> Outcome {
    let (chain, fd) = (instances(5)?, counter(0)?);
    for pair in chain.windows(2) {
        add(pair[0], pair[1], IN)?;
    }
    add(chain[4], fd, IN)?;
    check_eq!((is_readable(chain[0])?, ready(chain[0])?), (false, Vec::new()));
    raise(fd)?;
    check_eq!(is_readable(chain[0])?, true);
    for pair in chain.windows(2) {
        check_eq!(ready(pair[0])?, [pair[1]]);
    }
    lower(fd)?;
    check_eq!((is_readable(chain[0])?, ready(chain[0])?), (false, Vec::new()));
    raise(fd)?;
    control(chain[2], EPOLL_CTL_DEL, chain[3], 0)?;
    check_eq!((is_readable(chain[0])?, is_readable(chain[3])?), (false, true));
    Ok(())
}

pub fn a_chain_ends_from_either_end() -> Outcome {
    for first in [0, 2, 4] {
        let (chain, fd) = (instances(5)?, counter(1)?);
        for pair in chain.windows(2) {
            add(pair[0], pair[1], IN)?;
        }
        add(chain[4], fd, IN)?;
        close(chain[first])?;
        raise(fd)?;
        // What is above the gap hears nothing more, what is below it does.
        let survivors = [(0, 1), (2, 3), (4, 3)];
        for (closed, below) in survivors.into_iter().filter(|&(closed, _)| closed == first) {
            check_eq!((closed, ready(chain[below])?.len()), (closed, usize::from(closed != 4)));
        }
        check_eq!(ready(chain[0]).unwrap_or_default(), []);
        for (number, &each) in chain.iter().enumerate() {
            check_eq!((number, close(each).is_ok()), (number, number != first));
        }
    }
    Ok(())
}
