//! The frames of the initramfs go to the allocator.
// refused: E0505

fn main() {
    let initramfs = hal::boot::take_initramfs().unwrap();
    let bytes = initramfs.bytes();
    drop(initramfs);
    println!("{}", bytes.len());
}
