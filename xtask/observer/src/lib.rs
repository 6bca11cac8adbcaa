//! A QEMU plugin that records which CPU's kernel stores to which cache line.
//!
//! Loaded with `-plugin libobserver.so,marks=ADDRESS,output=FILE`. The guest's store to `ADDRESS` begins an
//! observation, the one to `ADDRESS + 8` ends it. In between each store by an instruction in the upper half of
//! addresses, the kernel's, is counted. For each observation the file gets a line `observation`, then
//! `CPU LINE PC COUNT` in hexadecimal, where LINE is the physical address by 64.
//!
//! The interface is QEMU's for TCG plugins, version 1 (`docs/devel/tcg-plugins.rst`, `include/qemu/qemu-plugin.h` of
//! QEMU 7.2).

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// `QEMU_PLUGIN_VERSION`: the interface that this plugin was written for.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "QEMU looks for the name")]
pub static qemu_plugin_version: c_int = 1;

/// `QEMU_PLUGIN_CB_NO_REGS`, `QEMU_PLUGIN_MEM_W`.
const NO_REGISTERS: c_int = 0;
const STORES: c_int = 2;

type StoreCallback = extern "C" fn(c_uint, u32, u64, *mut c_void);

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, callback: extern "C" fn(u64, *mut c_void));
    fn qemu_plugin_tb_n_insns(block: *const c_void) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const c_void, index: usize) -> *mut c_void;
    fn qemu_plugin_insn_vaddr(instruction: *const c_void) -> u64;
    fn qemu_plugin_register_vcpu_mem_cb(
        instruction: *mut c_void,
        callback: StoreCallback,
        flags: c_int,
        kinds: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_mem_is_store(access: u32) -> bool;
    fn qemu_plugin_get_hwaddr(access: u32, address: u64) -> *const c_void;
    fn qemu_plugin_hwaddr_is_io(address: *const c_void) -> bool;
    fn qemu_plugin_hwaddr_phys_addr(address: *const c_void) -> u64;
}

const CPUS: usize = 64;
const KERNEL_HALF: u64 = 1 << 63;
const LINE_BYTES: u64 = 64;

/// How often the instruction at an address stored to a line, by line and address.
type Stores = HashMap<(u64, u64), u64>;

struct Observer {
    /// The guest's address of the word that begins an observation.
    marks: u64,
    observes: AtomicBool,
    /// Each used by its CPU's thread, but for the beginning and the end.
    stores: [Mutex<Stores>; CPUS],
    output: Mutex<BufWriter<File>>,
}

static OBSERVER: OnceLock<Observer> = OnceLock::new();

impl Observer {
    /// Reads `marks=ADDRESS` and `output=FILE`.
    fn new(arguments: &[&str]) -> Option<Observer> {
        let value = |name| arguments.iter().find_map(|argument| argument.strip_prefix(name));
        let marks = value("marks=")?.parse().ok()?;
        let output = BufWriter::new(File::create(value("output=")?).ok()?);
        Some(Observer {
            marks,
            observes: AtomicBool::new(false),
            stores: std::array::from_fn(|_| Mutex::default()),
            output: Mutex::new(output),
        })
    }

    fn take(&self, cpu: usize, address: u64, line: Option<u64>, pc: u64) {
        if address == self.marks {
            self.stores.iter().for_each(|stores| lock(stores).clear());
            self.observes.store(true, Ordering::SeqCst);
        } else if address == self.marks + 8 {
            self.observes.store(false, Ordering::SeqCst);
            // Without a file there is nothing to be done; who waits for it will say so.
            let _ = self.write();
        } else if self.observes.load(Ordering::Relaxed)
            && pc & KERNEL_HALF != 0
            && let (Some(line), Some(stores)) = (line, self.stores.get(cpu))
        {
            *lock(stores).entry((line, pc)).or_default() += 1;
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let mut output = lock(&self.output);
        writeln!(output, "observation")?;
        for (cpu, stores) in self.stores.iter().enumerate() {
            for ((line, pc), count) in lock(stores).drain() {
                writeln!(output, "{cpu:x} {line:x} {pc:x} {count:x}")?;
            }
        }
        output.flush()
    }
}

/// A panic in another callback has spoilt nothing that is used here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called by QEMU once: remembers the arguments and asks to hear of translations.
///
/// # Safety
/// QEMU passes `count` C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let count = usize::try_from(count).unwrap_or_default();
    // SAFETY: the caller's promise.
    let arguments: Vec<_> =
        (0..count).map(|index| unsafe { CStr::from_ptr(*arguments.add(index)) }).collect();
    let arguments: Vec<_> = arguments.into_iter().filter_map(|argument| argument.to_str().ok()).collect();
    let Some(observer) = Observer::new(&arguments) else {
        eprintln!("observer: wants marks=ADDRESS and output=FILE");
        return 1;
    };
    let _ = OBSERVER.set(observer);
    // SAFETY: the identifier is the one that QEMU has just given to this plugin.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
    0
}

/// A block of the guest's code is translated: each of its stores shall be told, with the instruction's address.
extern "C" fn translated(_id: u64, block: *mut c_void) {
    // SAFETY: the block is valid during this call, and so are its instructions.
    unsafe {
        for index in 0..qemu_plugin_tb_n_insns(block) {
            let instruction = qemu_plugin_tb_get_insn(block, index);
            let pc = std::ptr::without_provenance_mut(qemu_plugin_insn_vaddr(instruction) as usize);
            qemu_plugin_register_vcpu_mem_cb(instruction, stored, NO_REGISTERS, STORES, pc);
        }
    }
}

/// The guest has stored something, or loaded: version 7.2 tells some of those, too.
extern "C" fn stored(cpu: c_uint, access: u32, address: u64, pc: *mut c_void) {
    let Some(observer) = OBSERVER.get() else { return };
    // SAFETY: only looks at bits of the word.
    if !unsafe { qemu_plugin_mem_is_store(access) } {
        return;
    }
    observer.take(cpu as usize, address, line(access, address), pc.addr() as u64);
}

/// The line of memory; `None` for a device.
fn line(access: u32, address: u64) -> Option<u64> {
    // SAFETY: asked during the callback of the access, as QEMU wants it; the answer is valid until that returns.
    unsafe {
        let physical = qemu_plugin_get_hwaddr(access, address);
        let is_memory = !physical.is_null() && !qemu_plugin_hwaddr_is_io(physical);
        is_memory.then(|| qemu_plugin_hwaddr_phys_addr(physical) / LINE_BYTES)
    }
}
