//! Times of a loop, collected where a machine has nothing better.
//!
//! The work between two times is always the same, so that what varies is the machine's doing: caches, other CPUs,
//! interrupts, the host. On a machine where nothing varies (an emulator that counts instructions) the windows are worth
//! nothing, and after some of these the collector says that there is nothing to be had.

use alloc::vec::Vec;
use core::hint::black_box;

use hal::random::timestamp;
use libkernel::entropy::Window;

/// Words of memory that the loop walks over: as much as many first caches hold.
const WORDS: usize = 4096;
/// Steps between two times, and how far apart they are in memory.
const STEPS: usize = 32;
const STRIDE: usize = 8 * 5;
/// So many windows in a row that are worth nothing show that none will be.
const BARREN_WINDOWS: u32 = 64;

/// Somebody who collects.
pub struct Collector {
    memory: Vec<u64>,
    place: usize,
    barren: u32,
}

impl Collector {
    /// Ready to begin. Where there is no memory to walk over, there is less that can vary.
    pub fn new() -> Collector {
        let mut memory = Vec::new();
        if memory.try_reserve_exact(WORDS).is_ok() {
            memory.resize(WORDS, 0);
        }
        Collector { memory, place: 0, barren: 0 }
    }

    /// Some times, in a hurry and for what they are worth.
    pub fn first_times(take: &mut dyn FnMut(u64)) {
        for _ in 0..64 {
            let fold = |all: u64, _| all.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7) ^ timestamp();
            take((0..16).fold(0, fold));
        }
    }

    /// Collects a window and hands it to `take` in pieces. What it is worth in bits; `None`: nothing, as those before,
    /// and it is useless to go on.
    pub fn window(&mut self, take: &mut dyn FnMut(&[u8])) -> Option<u32> {
        let mut window = Window::new(timestamp());
        loop {
            self.work();
            if !window.push(timestamp()) {
                break;
            }
        }
        window.for_each_piece(take);
        let bits = window.judge().bits;
        self.barren = if bits == 0 { self.barren + 1 } else { 0 };
        (self.barren < BARREN_WINDOWS).then_some(bits)
    }

    fn work(&mut self) {
        for _ in 0..STEPS {
            self.place = (self.place + STRIDE) % WORDS;
            if let Some(word) = self.memory.get_mut(self.place) {
                *word = black_box(word.wrapping_add(1));
            }
        }
    }
}
