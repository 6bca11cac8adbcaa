//! Just enough of a machine to compile on the host.
pub mod vdso;

use crate::IrqLine;
use crate::contract::{Context, Cpu, Paging, Platform, UserAccess, UserEntry, UserRegisters};
use crate::frame::OutOfMemory;
use crate::task::Task;
use crate::user::UserExit;
use core::cell::Cell;
use core::sync::atomic::AtomicU32;
use libkernel::addr::{PhysAddr, UserAddr};
use libkernel::arch::native::UserRegs;

/// The host.
pub struct Arch;

std::thread_local! {
    static PREEMPT: Cell<u32> = const { Cell::new(0) };
    static INTERRUPTS: Cell<bool> = const { Cell::new(true) };
}

impl Cpu for Arch {
    fn id() -> usize {
        0
    }
    fn preempt_add(amount: u32) {
        PREEMPT.set(PREEMPT.get() + amount);
    }
    fn preempt_sub(amount: u32) {
        PREEMPT.set(PREEMPT.get() - amount);
    }
    fn preempt_count() -> u32 {
        PREEMPT.get()
    }
    fn current_task() -> *const Task {
        todo!()
    }
    unsafe fn set_current_task(_task: *const Task) {
        todo!()
    }
    fn interrupts_enabled() -> bool {
        INTERRUPTS.get()
    }
    fn interrupts_disable() -> bool {
        INTERRUPTS.replace(false)
    }
    fn interrupts_enable() {
        INTERRUPTS.set(true);
    }
    fn relax() {
        std::thread::yield_now();
    }
    fn wait_for_interrupt() {
        INTERRUPTS.set(true);
    }
    fn send_reschedule(_cpu: usize) {}
}

impl Context for Arch {
    type Saved = usize;
    unsafe fn prepare(_stack_top: *mut u8, _entry: extern "C" fn(usize) -> !, _argument: usize) -> usize {
        todo!()
    }
    fn empty() -> usize {
        0
    }
    unsafe fn switch(_previous: *mut usize, _next: *const usize) {
        todo!()
    }
}

impl UserRegisters for Arch {
    type State = u64;
    fn fresh() -> Result<u64, OutOfMemory> {
        Ok(0)
    }
    fn duplicate(state: &u64) -> Result<u64, OutOfMemory> {
        Ok(*state)
    }
    fn save(_state: &mut u64) {}
    fn restore(_state: &u64) {}
    fn tls(state: &u64) -> u64 {
        *state
    }
    fn set_tls(state: &mut u64, value: u64) {
        *state = value;
    }
    fn live_tls() -> u64 {
        0
    }
    fn set_live_tls(_value: u64) {}
    fn floating_point_size() -> usize {
        0
    }
    fn floating_point(_state: &mut u64) -> &mut [u8] {
        &mut []
    }
    fn is_valid_floating_point(_image: &[u8]) -> bool {
        true
    }
}

impl UserEntry for Arch {
    fn run(_regs: &mut UserRegs, _work: &AtomicU32) -> UserExit {
        todo!()
    }
}

impl Paging for Arch {
    fn direct_map(_address: PhysAddr) -> *mut u8 {
        todo!()
    }
    fn direct_unmap(_pointer: *const u8) -> PhysAddr {
        todo!()
    }
    fn initialise_root(_root: PhysAddr) {}
    fn activate(_root: Option<PhysAddr>) {}
    fn flush_page(_address: UserAddr) {}
    fn flush_all() {}
    fn flush_remote(_cpus: u64, _first: UserAddr, _last: UserAddr) {}
    fn map_kernel(_address: u64, _frame: PhysAddr) -> Result<(), OutOfMemory> {
        todo!()
    }
    fn synchronise_instructions(_frame: PhysAddr) {}
}

impl UserAccess for Arch {
    unsafe fn copy_in(_to: *mut u8, _from: UserAddr, _length: usize) -> usize {
        todo!()
    }
    unsafe fn copy_out(_to: UserAddr, _from: *const u8, _length: usize) -> usize {
        todo!()
    }
    fn clear(_to: UserAddr, _length: usize) -> usize {
        todo!()
    }
    fn load_u32(_address: UserAddr) -> Option<u32> {
        todo!()
    }
    fn store_u32(_address: UserAddr, _value: u32) -> Option<()> {
        todo!()
    }
    fn compare_exchange_u32(_address: UserAddr, _current: u32, _new: u32) -> Option<u32> {
        todo!()
    }
}

impl Platform for Arch {
    fn now_ns() -> u64 {
        todo!()
    }
    fn set_deadline(_deadline_ns: Option<u64>) {}
    fn wall_clock_at_boot_ns() -> u64 {
        0
    }
    fn console_write(_bytes: &[u8]) {}
    fn console_enable_input() {}
    fn random_u64() -> Option<u64> {
        None
    }
    fn cycle_counter() -> u64 {
        0
    }
    fn power_off() -> ! {
        std::process::exit(0)
    }
    fn restart() -> ! {
        std::process::exit(0)
    }
    fn exit(status: u8) -> ! {
        std::process::exit(status.into())
    }
    fn enable_irq(_line: IrqLine) {}
    fn disable_irq(_line: IrqLine) {}
}
