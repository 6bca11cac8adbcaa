//! The machine: KVM's part of it, and the loops that answer its CPUs.

use std::sync::{Mutex, PoisonError, mpsc};

use anyhow::{Context, Result, bail};
use kvm_bindings::{
    CpuId, KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API, KVM_MAX_CPUID_ENTRIES, KVM_PIT_SPEAKER_DUMMY,
    KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK, KVM_X2APIC_API_USE_32BIT_IDS, kvm_enable_cap, kvm_fpu,
    kvm_pit_config, kvm_regs, kvm_sregs, kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use crate::boot::Registers;
use crate::devices::{Devices, End};
use crate::kind::Kind;

/// Where KVM on Intel's CPUs may keep pages of its own: below the firmware that is not there.
const TASK_STATE: usize = 0xfffb_d000;
/// Lines of the I/O APIC that is not KVM's.
const LINES: u64 = 24;
/// Linux, include/uapi/asm-generic/errno-base.h.
const EAGAIN: i32 = 11;

/// A machine that has not run yet.
pub struct Machine {
    /// All its memory, from address zero on.
    pub memory: GuestMemoryMmap,
    /// The identifiers of its CPUs' APICs.
    pub cpus: Vec<u32>,
    runners: Vec<VcpuFd>,
    // It must live as long as its CPUs.
    _vm: VmFd,
}

impl Machine {
    /// A machine with so many bytes of memory and so many CPUs.
    pub fn new(bytes: u64, cpus: u8, kind: &Kind) -> Result<Self> {
        let kvm = Kvm::new().context("cannot open KVM")?;
        let vm = kvm.create_vm()?;
        vm.set_tss_address(TASK_STATE)?;
        if kind.has_all_controllers {
            vm.create_irq_chip()?;
        } else {
            let split =
                kvm_enable_cap { cap: KVM_CAP_SPLIT_IRQCHIP, args: [LINES, 0, 0, 0], ..Default::default() };
            vm.enable_cap(&split).context("KVM cannot leave the I/O APIC out")?;
            let wide = KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;
            let wide = kvm_enable_cap {
                cap: KVM_CAP_X2APIC_API,
                args: [wide.into(), 0, 0, 0],
                ..Default::default()
            };
            vm.enable_cap(&wide).context("KVM's x2APICs have no identifiers of 32 bits")?;
        }
        if kind.has_timer {
            vm.create_pit2(kvm_pit_config { flags: KVM_PIT_SPEAKER_DUMMY, ..Default::default() })?;
        }
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), usize::try_from(bytes)?)])?;
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: bytes,
            userspace_addr: memory.get_host_address(GuestAddress(0))? as u64,
        };
        // SAFETY: the mapping is the machine's alone, and lives as long as it does.
        unsafe { vm.set_user_memory_region(region)? };
        let supported = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?;
        let make = |identity: &u32| -> Result<VcpuFd> {
            let cpu = vm.create_vcpu(u64::from(*identity))?;
            cpu.set_cpuid2(&identify(&supported, *identity, cpus))?;
            Ok(cpu)
        };
        let cpus: Vec<u32> = (0..u32::from(cpus)).map(|number| number * kind.step).collect();
        let runners = cpus.iter().map(make).collect::<Result<_>>()?;
        Ok(Self { memory, cpus, runners, _vm: vm })
    }

    /// The first CPU's special registers after its reset.
    pub fn special_registers(&self) -> Result<kvm_sregs> {
        Ok(self.runners.first().context("no CPU")?.get_sregs()?)
    }

    /// Lets the kernel run on the first CPU, from these registers on, until it ends the machine; how. The others wait
    /// for their start-up interrupts. Their threads end with the program.
    pub fn run(self, kind: &Kind, registers: &Registers) -> Result<End> {
        let first = self.runners.first().context("no CPU")?;
        first.set_sregs(&registers.special)?;
        first.set_regs(&kvm_regs { rflags: 2, ..registers.general })?;
        first.set_fpu(&kvm_fpu { fcw: 0x37f, mxcsr: 0x1f80, ..Default::default() })?;
        let devices: &Mutex<Devices> = Box::leak(Box::new(Mutex::new(Devices::new(kind.has_acpi))));
        let (sender, ends) = mpsc::channel();
        for mut cpu in self.runners {
            let sender = sender.clone();
            std::thread::spawn(move || {
                // The program is over when nobody listens.
                let _ = sender.send(answer(&mut cpu, devices));
            });
        }
        ends.recv()?
    }
}

/// What KVM can do, for the CPU of this identity: timers that keep deadlines too, and that there is a hypervisor, which
/// KVM leaves for its user to say, and who it is.
fn identify(supported: &CpuId, identity: u32, cpus: u8) -> CpuId {
    const DEADLINES: u32 = 1 << 24;
    const HYPERVISOR: u32 = 1 << 31;
    const SEVERAL: u32 = 1 << 28;
    let mut own = supported.clone();
    for entry in own.as_mut_slice() {
        match (entry.function, entry.index) {
            (1, _) => {
                entry.ebx = entry.ebx & 0xffff | u32::from(cpus) << 16 | identity << 24;
                entry.ecx |= DEADLINES | HYPERVISOR;
                entry.edx = entry.edx & !SEVERAL | if cpus > 1 { SEVERAL } else { 0 };
            }
            (0xb | 0x1f, _) => entry.edx = identity,
            _ => {}
        }
    }
    own
}

/// Runs one CPU until it ends the machine.
fn answer(cpu: &mut VcpuFd, devices: &Mutex<Devices>) -> Result<End> {
    let devices = || devices.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let exit = match cpu.run() {
            // A CPU that waits for its start-up interrupt has been told to go on waiting, or to start.
            Err(error) if error.errno() == EAGAIN => continue,
            exit => exit?,
        };
        let end = match exit {
            VcpuExit::IoOut(port, bytes) => devices().write(port, bytes)?,
            VcpuExit::IoIn(port, bytes) => {
                devices().read(port, bytes);
                End::NotYet
            }
            VcpuExit::MmioRead(address, bytes) => {
                devices().read_memory(address, bytes);
                End::NotYet
            }
            VcpuExit::MmioWrite(address, bytes) => {
                devices().write_memory(address, bytes);
                End::NotYet
            }
            VcpuExit::Intr | VcpuExit::IoapicEoi(_) => End::NotYet,
            VcpuExit::Shutdown => bail!("the kernel's CPU has shut down: a triple fault"),
            other => bail!("KVM does not go on: {other:?}"),
        };
        if end != End::NotYet {
            return Ok(end);
        }
    }
}
