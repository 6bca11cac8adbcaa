//! The machine: KVM's part of it, and the loop that answers its CPU.

use anyhow::{Context, Result, bail};
use kvm_bindings::{
    KVM_MAX_CPUID_ENTRIES, KVM_PIT_SPEAKER_DUMMY, kvm_fpu, kvm_pit_config, kvm_regs, kvm_sregs,
    kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use crate::boot::{Protocol, Registers};
use crate::devices::{Devices, End};

/// Where KVM on Intel's CPUs may keep pages of its own: below the firmware that is not there.
const TASK_STATE: usize = 0xfffb_d000;

/// A machine that has not run yet.
pub struct Machine {
    /// All its memory, from address zero on.
    pub memory: GuestMemoryMmap,
    vcpu: VcpuFd,
    // It must live as long as its CPU.
    _vm: VmFd,
}

impl Machine {
    /// A machine with so many bytes of memory.
    pub fn new(bytes: u64, protocol: Protocol) -> Result<Self> {
        let kvm = Kvm::new().context("cannot open KVM")?;
        let vm = kvm.create_vm()?;
        vm.set_tss_address(TASK_STATE)?;
        vm.create_irq_chip()?;
        if protocol == Protocol::Linux {
            // As Firecracker has it.
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
        let vcpu = vm.create_vcpu(0)?;
        vcpu.set_cpuid2(&kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?)?;
        Ok(Self { memory, vcpu, _vm: vm })
    }

    /// The CPU's special registers after its reset.
    pub fn special_registers(&self) -> Result<kvm_sregs> {
        Ok(self.vcpu.get_sregs()?)
    }

    /// Lets the kernel run, from these registers on, until it ends the machine; its status.
    pub fn run(mut self, registers: &Registers) -> Result<u8> {
        self.vcpu.set_sregs(&registers.special)?;
        self.vcpu.set_regs(&kvm_regs { rflags: 2, ..registers.general })?;
        self.vcpu.set_fpu(&kvm_fpu { fcw: 0x37f, mxcsr: 0x1f80, ..Default::default() })?;
        let mut devices = Devices::default();
        loop {
            let end = match self.vcpu.run()? {
                VcpuExit::IoOut(port, bytes) => devices.write(port, bytes)?,
                VcpuExit::IoIn(port, bytes) => {
                    devices.read(port, bytes);
                    End::NotYet
                }
                // An empty bus.
                VcpuExit::MmioRead(_, bytes) => {
                    bytes.fill(0xff);
                    End::NotYet
                }
                VcpuExit::MmioWrite(..) | VcpuExit::Intr => End::NotYet,
                VcpuExit::Shutdown => bail!("the kernel's CPU has shut down: a triple fault"),
                other => bail!("KVM does not go on: {other:?}"),
            };
            match end {
                End::NotYet => {}
                End::Status(status) => return Ok(status),
            }
        }
    }
}
