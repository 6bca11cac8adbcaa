//! Flags of address-space calls. Source: Linux 6.1, `include/uapi/asm-generic/mman{-common,}.h`, `linux/mman.h`.

constants! { u32:
    PROT_NONE = 0, "pages cannot be reached";
    PROT_READ = 1, "pages can be read";
    PROT_WRITE = 2, "pages can be written";
    PROT_EXEC = 4, "pages can be executed";
    PROT_SEM = 8, "pages may hold atomics; accepted and without effect";
    PROT_GROWSDOWN = 0x0100_0000, "mprotect: extend to the start of a mapping that grows down";
    PROT_GROWSUP = 0x0200_0000, "mprotect: extend to the end of a mapping that grows up";
}

constants! { u32:
    MAP_SHARED = 0x01, "writes reach the file and other mappings";
    MAP_PRIVATE = 0x02, "writes are the process's own";
    MAP_SHARED_VALIDATE = 0x03, "MAP_SHARED that refuses unknown flags with EOPNOTSUPP";
    MAP_TYPE = 0x0f, "mask of the sharing type";
    MAP_FIXED = 0x10, "exactly at the address, replacing what is there";
    MAP_ANONYMOUS = 0x20, "zeroed memory, no file";
    MAP_GROWSDOWN = 0x0100, "grows towards lower addresses like a stack";
    MAP_DENYWRITE = 0x0800, "ignored";
    MAP_EXECUTABLE = 0x1000, "ignored";
    MAP_LOCKED = 0x2000, "as by mlock";
    MAP_NORESERVE = 0x4000, "reserve no swap";
    MAP_POPULATE = 0x8000, "fault the pages in at once";
    MAP_NONBLOCK = 0x1_0000, "with MAP_POPULATE: no read-ahead";
    MAP_STACK = 0x2_0000, "will be a stack; without effect";
    MAP_HUGETLB = 0x4_0000, "huge pages";
    MAP_SYNC = 0x8_0000, "synchronous faults of persistent memory";
    MAP_FIXED_NOREPLACE = 0x10_0000, "exactly at the address, EEXIST when something is there";
    MAP_UNINITIALIZED = 0x400_0000, "need not be cleared; ignored with an MMU";
}

constants! { u32:
    MREMAP_MAYMOVE = 1, "the mapping may move";
    MREMAP_FIXED = 2, "move exactly to the new address";
    MREMAP_DONTUNMAP = 4, "leave the old range mapped and empty";
    MS_ASYNC = 1, "msync: schedule the write";
    MS_INVALIDATE = 2, "msync: drop other copies";
    MS_SYNC = 4, "msync: wait for the write";
    MLOCK_ONFAULT = 1, "mlock2: lock pages when they are faulted in";
    MCL_CURRENT = 1, "mlockall: what is mapped now";
    MCL_FUTURE = 2, "mlockall: what will be mapped";
    MCL_ONFAULT = 4, "mlockall: lock pages when they are faulted in";
    MFD_CLOEXEC = 1, "memfd_create: close on execve";
    MFD_ALLOW_SEALING = 2, "memfd_create: seals may be added";
    MFD_HUGETLB = 4, "memfd_create: huge pages";
    GRND_NONBLOCK = 1, "getrandom: EAGAIN instead of waiting for entropy";
    GRND_RANDOM = 2, "getrandom: from the blocking source";
    GRND_INSECURE = 4, "getrandom: even before the generator is seeded";
}

constants! { u32:
    MADV_NORMAL = 0, "no advice";
    MADV_RANDOM = 1, "random access";
    MADV_SEQUENTIAL = 2, "sequential access";
    MADV_WILLNEED = 3, "soon needed";
    MADV_DONTNEED = 4, "drop the pages; private anonymous memory reads as zero afterwards";
    MADV_FREE = 8, "may be dropped when memory is short";
    MADV_REMOVE = 9, "free the backing store";
    MADV_DONTFORK = 10, "not in children";
    MADV_DOFORK = 11, "undo MADV_DONTFORK";
    MADV_MERGEABLE = 12, "equal pages may be merged";
    MADV_UNMERGEABLE = 13, "undo MADV_MERGEABLE";
    MADV_HUGEPAGE = 14, "worth huge pages";
    MADV_NOHUGEPAGE = 15, "not worth huge pages";
    MADV_DONTDUMP = 16, "not in core dumps";
    MADV_DODUMP = 17, "undo MADV_DONTDUMP";
    MADV_WIPEONFORK = 18, "zero in children";
    MADV_KEEPONFORK = 19, "undo MADV_WIPEONFORK";
    MADV_COLD = 20, "not soon needed";
    MADV_PAGEOUT = 21, "write out now";
    MADV_POPULATE_READ = 22, "fault in for reading";
    MADV_POPULATE_WRITE = 23, "fault in for writing";
    MADV_DONTNEED_LOCKED = 24, "MADV_DONTNEED for locked pages too";
    MADV_COLLAPSE = 25, "make huge pages now";
}
