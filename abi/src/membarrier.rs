//! Commands of `membarrier`. Source: Linux 6.1, `include/uapi/linux/membarrier.h`.

constants! { u32:
    MEMBARRIER_CMD_QUERY = 0, "which commands there are";
    MEMBARRIER_CMD_GLOBAL = 1, "a barrier in every running thread";
    MEMBARRIER_CMD_GLOBAL_EXPEDITED = 1 << 1, "at once, in the threads of registered processes";
    MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED = 1 << 2, "register for it";
    MEMBARRIER_CMD_PRIVATE_EXPEDITED = 1 << 3, "at once, in the threads of the caller's memory";
    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 1 << 4, "register for it";
    MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE = 1 << 5, "and forget instructions fetched ahead";
    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 1 << 6, "register for it";
    MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ = 1 << 7, "and restart restartable sequences";
    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ = 1 << 8, "register for it";
    MEMBARRIER_CMD_FLAG_CPU = 1, "flag: on one CPU";
}
