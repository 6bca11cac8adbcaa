//! FPU and vector registers, FS and GS bases, and data-segment selectors of a thread, saved eagerly at switches.
//!
//! The kernel is built without floating point, so the registers in the CPU are always those of the running task.
//! XSAVE's standard format where the CPU has it, else FXSAVE's 512 bytes, which are its first part.
use super::Arch;
use super::cpu::{self, feature, has};
use super::patches::patched;
use super::platform::{cpuid, guards, msr};
use super::speculation;
use crate::contract::{Cpu as _, UserRegisters};
use crate::frame::OutOfMemory;
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::boxed::Box;
use core::arch::{asm, naked_asm};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use libkernel::arch::x86_64::{signal_frame, xsave};

const LEGACY_BYTES: usize = 512;
const HEADER_BYTES: usize = 64;
/// Offsets in the legacy area (SDM volume 1, table 10-2).
const MXCSR: usize = 24;
const MXCSR_MASK: usize = 28;
const CONTROL_WORD: usize = 0;
/// MXCSR bits that exist on every x86_64 CPU, for those that report a mask of zero.
const MXCSR_DEFAULT_MASK: u32 = 0xffbf;

static COMPONENTS: AtomicU64 = AtomicU64::new(0);
/// With XSAVE, the area and the word that ends an image of it in a signal frame.
static AREA_BYTES: AtomicU32 = AtomicU32::new(LEGACY_BYTES as u32);
static MXCSR_ALLOWED: AtomicU32 = AtomicU32::new(MXCSR_DEFAULT_MASK);

/// Decides between XSAVE and FXSAVE, and how large an area is. Once, on the boot CPU, before the text is patched
/// accordingly.
pub fn settle_components() {
    if !has(feature::XSAVE) {
        return;
    }
    let components = COMPONENTS.load(Ordering::Relaxed);
    let area = || xsave::area_bytes(components, cpuid::components);
    if let Some(bytes) = components_are_kept().then(area).flatten() {
        AREA_BYTES.store(bytes + signal_frame::IMAGE_END_BYTES, Ordering::Relaxed);
    } else {
        // SAFETY: no task is made yet, and the other CPUs start later.
        unsafe { cpu::withdraw_xsave() };
        COMPONENTS.store(0, Ordering::Relaxed);
    }
}

/// Asks the CPU which bits of MXCSR it has. Once, on the boot CPU, before any task is made.
pub fn initialise() {
    if let Ok(mut state) = Arch::fresh() {
        Arch::save(&mut state);
        let mask = state.word(MXCSR_MASK);
        if mask != 0 {
            MXCSR_ALLOWED.store(mask, Ordering::Relaxed);
        }
    }
}

/// Lets programs use what this kernel saves. Each CPU has its own XCR0.
pub fn enable_components() {
    if has(feature::XSAVE) {
        let [low, _, _, high] = cpuid::read(0xd, 0);
        let components = xsave::components(u64::from(high) << 32 | u64::from(low));
        // Without x87 and SSE there is nothing that XCR0 would take; `settle_components` finds it as it was.
        if components == 0 {
            return;
        }
        // SAFETY: CR4.OSXSAVE is set, CPUID announces every component, and those that need each other are together.
        unsafe {
            asm!("xsetbv", in("ecx") 0, in("eax") components as u32, in("edx") (components >> 32) as u32, options(nomem, nostack))
        };
        COMPONENTS.store(components, Ordering::Relaxed);
    }
}

/// Whether XCR0 is still what was written. A hypervisor that does not see XSETBV (KVM inside QEMU's TCG) forgets it at
/// the next exit, and from then on XSAVE would leave out what XCR0 leaves out, silently.
fn components_are_kept() -> bool {
    cpuid::leave_guest();
    let (low, high): (u32, u32);
    // SAFETY: CR4.OSXSAVE is set; reading changes nothing.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags))
    };
    u64::from(high) << 32 | u64::from(low) == COMPONENTS.load(Ordering::Relaxed)
}

/// What a thread has besides its general registers.
pub struct State {
    area: NonNull<u8>,
    fs_base: u64,
    gs_base: u64,
    /// DS, ES, FS, GS: zero for every ordinary program.
    selectors: [u16; 4],
    /// What the thread asked of speculation: see `speculation`.
    pub(super) control: u64,
}

// SAFETY: the state owns its area.
unsafe impl Send for State {}
// SAFETY: a shared state is only read.
unsafe impl Sync for State {}

impl State {
    fn area_bytes() -> usize {
        AREA_BYTES.load(Ordering::Relaxed) as usize
    }

    fn layout() -> Layout {
        // XSAVE wants 64-byte alignment.
        Layout::from_size_align(Self::area_bytes(), 64).unwrap_or(Layout::new::<[u64; 64]>())
    }

    fn allocate() -> Result<Self, OutOfMemory> {
        // SAFETY: the layout is not empty.
        let area = NonNull::new(unsafe { alloc_zeroed(Self::layout()) }).ok_or(OutOfMemory)?;
        Ok(Self { area, fs_base: 0, gs_base: 0, selectors: [0; 4], control: 0 })
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the area is this state's own and has that many bytes.
        unsafe { core::slice::from_raw_parts_mut(self.area.as_ptr(), Self::area_bytes()) }
    }

    fn word(&mut self, offset: usize) -> u32 {
        u32::from_le_bytes([0, 1, 2, 3].map(|byte| self.bytes()[offset + byte]))
    }

    fn set_word(&mut self, offset: usize, value: u32) {
        self.bytes()[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // SAFETY: allocated by `allocate` with the same layout.
        unsafe { dealloc(self.area.as_ptr(), Self::layout()) };
    }
}

impl UserRegisters for Arch {
    type State = State;

    fn fresh() -> Result<State, OutOfMemory> {
        let mut state = State::allocate()?;
        // The values of FNINIT and reset: all exceptions masked, extended precision.
        state.bytes()[CONTROL_WORD..CONTROL_WORD + 2].copy_from_slice(&0x037fu16.to_le_bytes());
        state.set_word(MXCSR, 0x1f80);
        Ok(state)
    }

    fn capture(saved: &State) -> Result<Box<State>, OutOfMemory> {
        let mut copy = Box::new(State::allocate()?);
        Self::save(&mut copy);
        copy.control = saved.control;
        Ok(copy)
    }

    #[inline]
    fn save(state: &mut State) {
        save_vectors(state.area.as_ptr());
        state.selectors = if live_selectors() == 0 { [0; 4] } else { selectors() };
        state.fs_base = Self::live_tls();
        state.gs_base = Self::live_gs_base().unwrap_or(0);
    }

    /// What the two tasks have in common stays: reading selectors is slow, and writing the GS base slower.
    #[inline]
    fn exchange(previous: Option<&mut State>, next: Option<&State>) {
        if let Some(next) = next {
            speculation::exchange(next.control);
        }
        let Some(previous) = previous else { return next.into_iter().for_each(Self::restore) };
        Self::save(previous);
        let Some(next) = next else { return };
        restore_vectors(next.area.as_ptr());
        let differ = previous.selectors != next.selectors;
        if differ {
            load_selectors(next.selectors);
        }
        Self::set_live_tls(next.fs_base);
        if differ || previous.gs_base != next.gs_base {
            Self::set_live_gs_base(next.gs_base);
        }
    }

    fn restore_floating_point(state: &State) {
        restore_vectors(state.area.as_ptr());
    }

    #[inline]
    fn restore(state: &State) {
        restore_vectors(state.area.as_ptr());
        if state.selectors != [0; 4] || live_selectors() != 0 {
            exchange_selectors(state.selectors);
        }
        // Bases last: loading a selector overwrites them.
        Self::set_live_tls(state.fs_base);
        Self::set_live_gs_base(state.gs_base);
    }

    fn tls(state: &State) -> u64 {
        state.fs_base
    }

    fn set_tls(state: &mut State, value: u64) {
        state.fs_base = value;
    }

    #[inline(always)]
    fn live_tls() -> u64 {
        let base;
        // SAFETY: CR4.FSGSBASE is set where CPUID announces it; the other way keeps all registers but the result.
        unsafe {
            asm!(patched!(FSGSBASE, "call {read}" => "rdfsbase rax"), read = sym read_fs_base, out("rax") base,
                options(nomem, preserves_flags))
        };
        base
    }

    #[inline(always)]
    fn set_live_tls(value: u64) {
        // SAFETY: as above; the value was checked to be a user address, hence canonical, and the kernel does not use
        // FS.
        unsafe {
            asm!(patched!(FSGSBASE, "call {write}" => "wrfsbase rax"), write = sym write_fs_base, in("rax") value,
                options(nomem))
        };
    }

    #[inline]
    fn live_gs_base() -> Option<u64> {
        // While in the kernel the program's base is what `swapgs` would bring back.
        // SAFETY: every long-mode CPU has the register.
        Some(unsafe { msr::read(msr::KERNEL_GS_BASE) })
    }

    #[inline]
    fn set_live_gs_base(value: u64) -> bool {
        // SAFETY: the register is only used by `swapgs` on the way to ring 3.
        unsafe { msr::write(msr::KERNEL_GS_BASE, value) };
        true
    }

    fn live_selectors() -> [u16; 4] {
        selectors()
    }

    fn floating_point_size() -> usize {
        State::area_bytes()
    }

    fn floating_point(state: &mut State) -> &mut [u8] {
        state.bytes()
    }

    fn describe_floating_point(image: &mut [u8]) {
        signal_frame::describe_image(image, COMPONENTS.load(Ordering::Relaxed));
    }

    fn make_floating_point_savable(image: &mut [u8]) {
        // XSAVE writes neither XCOMP_BV, the reserved bytes, nor bits of components that are off (SDM volume 1, 13.7).
        if let Some(header) = image.get_mut(LEGACY_BYTES..LEGACY_BYTES + HEADER_BYTES) {
            header.fill(0);
        }
    }

    fn is_valid_floating_point(image: &[u8]) -> bool {
        let Some(mxcsr) = image.get(MXCSR..MXCSR + 4) else { return false };
        let mxcsr = u32::from_le_bytes([mxcsr[0], mxcsr[1], mxcsr[2], mxcsr[3]]);
        if mxcsr & !MXCSR_ALLOWED.load(Ordering::Relaxed) != 0 {
            return false;
        }
        image.len() == LEGACY_BYTES || is_valid_header(image)
    }
}

/// XRSTOR's rules for the standard format (SDM volume 1, 13.8.1): only enabled components, not compacted, and the
/// rest of the header zero.
fn is_valid_header(image: &[u8]) -> bool {
    let Some(header) = image.get(LEGACY_BYTES..LEGACY_BYTES + HEADER_BYTES) else { return false };
    let (words, _) = header.as_chunks::<8>();
    let [components, rest @ ..] = words else { return false };
    let components = u64::from_le_bytes(*components);
    components & !COMPONENTS.load(Ordering::Relaxed) == 0
        && rest.iter().fold(0, |all, word| all | u64::from_le_bytes(*word)) == 0
}

#[inline(always)]
fn save_vectors(area: *mut u8) {
    // SAFETY: the area is 64-byte aligned and large enough for all enabled components; CR4 allows the instructions.
    unsafe {
        asm!(patched!(XSAVE, "fxsave64 [rdi]" => "xsave64 [rdi]"), in("rdi") area, in("eax") u32::MAX, in("edx") u32::MAX,
            options(nostack, preserves_flags))
    };
}

#[inline(always)]
fn restore_vectors(area: *const u8) {
    // SAFETY: as above; what is in the area was saved by the CPU, is fresh, or passed `is_valid_floating_point`.
    unsafe {
        asm!(patched!(X87_POINTERS, "mov eax, -1" => "call {forget}"), patched!(XSAVE, "fxrstor64 [rdi]" => "xrstor64 [rdi]"),
            forget = sym guards::forget_x87_pointers, in("rdi") area, out("eax") _, in("edx") u32::MAX, options(preserves_flags))
    };
}

/// Reads FS_BASE where there is no `rdfsbase`: to rax, all other registers are kept.
#[unsafe(naked)]
unsafe extern "C" fn read_fs_base() {
    naked_asm!(
        "push rcx",
        "push rdx",
        "pushfq",
        "mov ecx, {register}",
        "rdmsr",
        "shl rdx, 32",
        "or rax, rdx",
        "popfq",
        "pop rdx",
        "pop rcx",
        "ret",
        register = const msr::FS_BASE,
    )
}

/// Writes rax to FS_BASE where there is no `wrfsbase`; all registers are kept, but for flags.
#[unsafe(naked)]
unsafe extern "C" fn write_fs_base() {
    naked_asm!(
        "push rcx",
        "push rdx",
        "mov rdx, rax",
        "shr rdx, 32",
        "mov ecx, {register}",
        "wrmsr",
        "pop rdx",
        "pop rcx",
        "ret",
        register = const msr::FS_BASE,
    )
}

#[cold]
fn selectors() -> [u16; 4] {
    let (ds, es, fs, gs): (u32, u32, u32, u32);
    // SAFETY: reading selectors changes nothing.
    unsafe {
        asm!("mov {:e}, ds", "mov {:e}, es", "mov {:e}, fs", "mov {:e}, gs",
            out(reg) ds, out(reg) es, out(reg) fs, out(reg) gs, options(nomem, nostack, preserves_flags));
    }
    [ds as u16, es as u16, fs as u16, gs as u16]
}

/// All data segment selectors, one over the other: 0 if none is loaded, as in nearly every program.
#[inline(always)]
fn live_selectors() -> u32 {
    let all: u32;
    // SAFETY: reading selectors changes nothing.
    unsafe {
        asm!("mov {all:e}, ds", "mov {one:e}, es", "or {all:e}, {one:e}", "mov {one:e}, fs", "or {all:e}, {one:e}",
            "mov {one:e}, gs", "or {all:e}, {one:e}", all = out(reg) all, one = out(reg) _, options(nomem, nostack));
    }
    all
}

#[cold]
fn exchange_selectors(next: [u16; 4]) {
    if next != selectors() {
        load_selectors(next);
    }
}

/// Loads selectors that were read from these registers before, so the GDT has them.
#[cold]
fn load_selectors(selectors: [u16; 4]) {
    let [ds, es, fs, gs] = selectors.map(u32::from);
    let enabled = Arch::interrupts_disable();
    // SAFETY: the selectors are loadable (see above). Loading GS overwrites the GS base, so the program's side is
    // switched in meanwhile, with interrupts masked.
    unsafe {
        asm!("mov ds, {:e}", "mov es, {:e}", "mov fs, {:e}", "swapgs", "mov gs, {:e}", "swapgs",
            in(reg) ds, in(reg) es, in(reg) fs, in(reg) gs, options(nostack, preserves_flags));
    }
    if enabled {
        Arch::interrupts_enable();
    }
}
