//! The end of the kernel follows frame pointers: those that a CPU had.
// refused: E0603 E0603

fn main() {
    hal::panic::fatal(&hal::panic::Fatal {
        what: "",
        code: 0,
        pc: 0,
        frame_pointer: 0xffff_8000_0000_0000,
        registers: &[],
        details: || (),
        why: "",
    });
}
