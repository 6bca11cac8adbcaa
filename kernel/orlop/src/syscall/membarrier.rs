//! `membarrier`.

use abi::Errno;
use abi::membarrier::*;
use hal::task;
use sched::barrier;

use super::{Caller, Failure};

/// All commands there are.
const COMMANDS: u32 = MEMBARRIER_CMD_GLOBAL
    | MEMBARRIER_CMD_GLOBAL_EXPEDITED
    | MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED
    | MEMBARRIER_CMD_PRIVATE_EXPEDITED
    | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED
    | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE
    | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;

/// `membarrier`: EPERM for what the memory is not registered for. The CPU's number matters only with restartable
/// sequences.
pub fn membarrier(caller: &mut Caller<'_>, command: u32, flags: u32, _cpu: i32) -> Result<u32, Failure> {
    if flags != 0 {
        return Err(Failure::Errno(Errno::EINVAL));
    }
    let memory = caller.thread.memory().ok_or(Errno::ESRCH)?;
    match command {
        MEMBARRIER_CMD_QUERY => return Ok(COMMANDS),
        MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED => {
            barrier::execute_on(!(1 << hal::cpu::id()));
        }
        // Every process takes part in global ones.
        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED => {}
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE => {
            memory.register_barrier(command);
        }
        MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE => {
            // The command to register is the next bit.
            if memory.registered_barriers() & command << 1 == 0 {
                return Err(Failure::Errno(Errno::EPERM));
            }
            barrier::execute_on(task::other_cpus_on(memory.page_table()));
        }
        _ => return Err(Failure::Errno(Errno::EINVAL)),
    }
    Ok(0)
}
