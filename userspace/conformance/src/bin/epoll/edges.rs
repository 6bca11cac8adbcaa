//! What is news: levels, edges, single shots.
use super::*;

pub fn a_one_shot_item_fires_once() -> Outcome {
    let (epoll, fd) = (instance()?, counter(1)?);
    add(epoll, fd, IN | EPOLLONESHOT)?;
    check_eq!((ready(epoll)?.len(), ready(epoll)?.len()), (1, 0));
    raise(fd)?;
    check_eq!(ready(epoll)?, []);
    control(epoll, EPOLL_CTL_MOD, fd, IN | EPOLLONESHOT)?;
    check_eq!((ready(epoll)?.len(), ready(epoll)?.len()), (1, 0));
    check_eq!(add(epoll, fd, IN), Err(Errno::EEXIST));
    Ok(())
}

pub fn a_part_is_no_edge() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    let (reads, writes) = (instance()?, instance()?);
    add(reads, reader, IN | EPOLLET)?;
    add(writes, writer, OUT | EPOLLET)?;
    check_eq!((ready(reads)?, ready(writes)?), (Vec::new(), Vec::from([writer])));
    check_eq!(write(writer, &[0; 4096]), Ok(4096));
    check_eq!((ready(reads)?, ready(writes)?), (Vec::from([reader]), Vec::new()));
    check_eq!(read(reader, &mut [0; 2048]), Ok(2048));
    check_eq!((ready(reads)?, ready(writes)?), (Vec::new(), Vec::new()));
    // The rest: there was room before, too.
    check_eq!(read(reader, &mut [0; 2048]), Ok(2048));
    check_eq!((ready(reads)?, ready(writes)?), (Vec::new(), Vec::new()));
    while write(writer, &[0; 4096]).is_ok() {}
    check_eq!((ready(reads)?, ready(writes)?), (Vec::from([reader]), Vec::new()));
    // A part of a page makes no room.
    check_eq!(read(reader, &mut [0; 100]), Ok(100));
    check_eq!((ready(writes)?, write(writer, &[0])), (Vec::new(), Err(Errno::EAGAIN)));
    // The write that was refused is an edge all the same.
    check_eq!((ready(reads)?, ready(writes)?), (Vec::from([reader]), Vec::new()));
    check_eq!(read(reader, &mut [0; 4096]), Ok(4096));
    check_eq!((ready(reads)?, ready(writes)?), (Vec::new(), Vec::from([writer])));
    Ok(())
}

pub fn each_write_is_an_edge() -> Outcome {
    let (reader, writer) = pipe2(O_NONBLOCK)?;
    let (epoll, counts) = (instance()?, counter(0)?);
    add(epoll, reader, IN | EPOLLET)?;
    add(epoll, counts, IN | EPOLLET)?;
    for _ in 0..3 {
        check_eq!(write(writer, b"x"), Ok(1));
        raise(counts)?;
        check_eq!((ready(epoll)?, ready(epoll)?), (Vec::from([reader, counts]), Vec::new()));
    }
    // Taken before anybody looked: no news.
    raise(counts)?;
    lower(counts)?;
    check_eq!(ready(epoll)?, []);
    Ok(())
}

pub fn edges_of_instances() -> Outcome {
    let (outer, inner, fd) = (instance()?, instance()?, counter(0)?);
    add(inner, fd, IN)?;
    add(outer, inner, IN | EPOLLET)?;
    check_eq!(ready(outer)?, []);
    raise(fd)?;
    check_eq!((ready(outer)?, ready(outer)?), (Vec::from([inner]), Vec::new()));
    // The same level, another edge.
    raise(fd)?;
    check_eq!((ready(outer)?, ready(outer)?), (Vec::from([inner]), Vec::new()));
    check_eq!((ready(inner)?, ready(outer)?), (Vec::from([fd]), Vec::new()));
    Ok(())
}

pub fn a_change_looks_again() -> Outcome {
    let (epoll, fd) = (instance()?, counter(1)?);
    add(epoll, fd, IN | EPOLLET)?;
    check_eq!((ready(epoll)?.len(), ready(epoll)?.len()), (1, 0));
    control(epoll, EPOLL_CTL_MOD, fd, IN | EPOLLET)?;
    check_eq!(ready(epoll)?.len(), 1);
    control(epoll, EPOLL_CTL_MOD, fd, OUT)?;
    check_eq!(wait(epoll, 4, 0)?, [(OUT, fd)]);
    control(epoll, EPOLL_CTL_MOD, fd, 0)?;
    check_eq!(ready(epoll)?, []);
    Ok(())
}

pub fn hang_ups_are_told_unasked() -> Outcome {
    let (reader, writer) = pipe2(0)?;
    let (other_reader, other_writer) = pipe2(0)?;
    let epoll = instance()?;
    add(epoll, reader, 0)?;
    add(epoll, other_writer, EPOLLET)?;
    check_eq!(ready(epoll)?, []);
    close(writer)?;
    close(other_reader)?;
    let (hang_up, error) = (u32::from(POLLHUP), u32::from(POLLERR));
    check_eq!(wait(epoll, 4, 0)?, [(hang_up, reader), (error, other_writer)]);
    check_eq!(wait(epoll, 4, 0)?, [(hang_up, reader)]);
    Ok(())
}
