//! A handler of the same CPU could take what the interrupted code is about to take.
// refused: E0277

use core::cell::Cell;
use hal::cpu::MAX_CPUS;
use hal::sync::PerCpu;

static BOXES: PerCpu<Cell<Option<Box<u32>>>> = PerCpu::new([const { Cell::new(None) }; MAX_CPUS]);

fn main() {
    BOXES.with(|own| own.take());
}
