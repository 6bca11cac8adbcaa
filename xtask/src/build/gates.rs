//! Instructions that must stand where they stand: defences that no test would miss. Looked at in the linked kernel.

use anyhow::{Context, Result, ensure};
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, Register};
use libkernel::patch::Site;

use super::elf_image::ElfImage;
use super::{atomics, symbols};
use crate::arch::Arch;

/// The numbers of features in `hal/src/arch/x86_64/patches.rs`.
const FENCE_SWAPGS: u16 = 2;
const CLEAR_BUFFERS: u16 = 3;
const FSGSBASE: u16 = 10;
const XSAVE: u16 = 11;
const X87_POINTERS: u16 = 12;

/// Functions that spin until another CPU stores, and nothing else.
const SPINNING: [&str; 4] = [
    "hal::sync::reader_counts::ReaderCounts::wait_for_none",
    "hal::task::switch::wait_until_left",
    "hal::boot::secondary::Start::answer",
    "sched::barrier::execute_on",
];

/// A linked kernel.
pub struct Kernel<'a> {
    pub image: &'a ElfImage,
    pub file: &'a [u8],
    pub sites: &'a [Site],
}

/// Fails if a defence is not in its place.
pub fn check(arch: Arch, kernel: &Kernel<'_>) -> Result<()> {
    match arch {
        Arch::X86_64 => kernel.check_x86_64(),
        Arch::Aarch64 => kernel.check_aarch64(),
    }
}

impl Kernel<'_> {
    fn function(&self, name: &str) -> Result<(u64, &[u8])> {
        let (start, end) = symbols::function(self.file, name)?;
        Ok((start, self.image.bytes(start, end)?))
    }

    fn x86_64(&self, name: &str) -> Result<Vec<Instruction>> {
        let (start, code) = self.function(&format!("hal::arch::x86_64::{name}"))?;
        Ok(Decoder::with_ip(64, code, start, DecoderOptions::NONE).into_iter().collect())
    }

    fn check_x86_64(&self) -> Result<()> {
        for name in ["copy_in", "copy_out", "copy_halfwords", "clear", "load", "store", "compare_exchange"] {
            let routine = self.x86_64(&format!("user_copy::{name}_masked"))?;
            let kinds: Vec<_> = routine.iter().map(Instruction::mnemonic).take(4).collect();
            let wanted = [Mnemonic::Mov, Mnemonic::Cmp, Mnemonic::Cmova, Mnemonic::Jmp];
            ensure!(kinds == wanted, "{name}_masked does not mask: {kinds:?}");
        }
        let guarded = self.x86_64("platform::guards::leave_user")?;
        for register in
            [Register::ECX, Register::ESI, Register::R8D, Register::R9D, Register::R10D, Register::R11D]
        {
            let clears =
                |one: &Instruction| one.mnemonic() == Mnemonic::Xor && one.op0_register() == register;
            ensure!(guarded.iter().any(clears), "{register:?} keeps what a program left there");
        }
        self.check_cpuid()?;
        for name in SPINNING {
            let (start, code) = self.function(name)?;
            let mut instructions = Decoder::with_ip(64, code, start, DecoderOptions::NONE).into_iter();
            ensure!(instructions.any(|one| one.mnemonic() == Mnemonic::Pause), "{name} spins without pause");
        }
        self.check_registers()?;
        self.check_fences()?;
        self.check_buffers()?;
        let history = self.x86_64("platform::guards::clear_history")?;
        ensure!(
            history.iter().any(|one| one.mnemonic() == Mnemonic::Lfence),
            "the history is cleared without a fence"
        );
        let filled = self.x86_64("platform::guards::change_space")?;
        let kinds: Vec<_> = filled.iter().map(Instruction::code).collect();
        ensure!(kinds.first() == Some(&Code::Mov_cr_r64), "the address space is not changed first");
        ensure!(
            kinds.iter().filter(|kind| **kind == Code::Call_rel32_64).count() == 2,
            "the return stack is not filled"
        );
        Ok(())
    }

    /// Only one function executes CPUID: it would leave a virtual machine wherever else it stands.
    fn check_cpuid(&self) -> Result<()> {
        const READER: &str = "hal::arch::x86_64::platform::cpuid::execute";
        let mut readers = Vec::new();
        for (name, start, end) in symbols::functions(self.file)? {
            let code = self.image.bytes(start, end)?;
            let mut instructions = Decoder::with_ip(64, code, start, DecoderOptions::NONE).into_iter();
            if instructions.any(|one| one.mnemonic() == Mnemonic::Cpuid) {
                readers.push(name);
            }
        }
        ensure!(readers == [READER], "CPUID is executed by {readers:?}");
        Ok(())
    }

    /// x87's pointers are overwritten by instructions that neither fault nor leave anything, right before registers are
    /// loaded; and nobody asks the CPU for `rdfsbase` or XSAVE there: the words for it are sites.
    fn check_registers(&self) -> Result<()> {
        let overwrites = self.x86_64("platform::guards::forget_x87_pointers")?;
        let kinds: Vec<_> = overwrites.iter().map(Instruction::mnemonic).take(5).collect();
        let wanted = [Mnemonic::Fnclex, Mnemonic::Emms, Mnemonic::Fild, Mnemonic::Mov, Mnemonic::Ret];
        ensure!(kinds == wanted, "x87's pointers are not overwritten: {kinds:?}");
        let of = |feature| self.sites.iter().filter(move |site| site.feature == feature);
        for site in of(X87_POINTERS) {
            let loads = |next: &Site| next.address == site.address + u64::from(site.length);
            ensure!(
                of(XSAVE).any(loads),
                "x87's pointers are overwritten at {:#x}, but not loaded",
                site.address
            );
        }
        for (feature, length) in [(X87_POINTERS, 5), (FSGSBASE, 5), (XSAVE, 4)] {
            let fits = |site: &Site| site.length == length && site.code_length == length;
            ensure!(of(feature).count() > 0 && of(feature).all(fits), "sites of feature {feature} cost more");
        }
        Ok(())
    }

    /// Each `swapgs` that a branch decided on is followed by a site whose code begins with `lfence`.
    fn check_fences(&self) -> Result<()> {
        for name in ["user::trap_from_user", "user::bad_user_frame", "trap::trap_entry"] {
            let instructions = self.x86_64(name)?;
            let (start, end) = (instructions[0].ip(), instructions[instructions.len() - 1].next_ip());
            let is_here = |site: &&Site| site.feature == FENCE_SWAPGS && (start..end).contains(&site.address);
            let site = self.sites.iter().find(is_here).with_context(|| format!("{name} has no fence"))?;
            let code = self.image.bytes(site.code, site.code + u64::from(site.code_length))?;
            ensure!(code.starts_with(&[0x0f, 0xae, 0xe8]), "{name} has another instruction than lfence");
            let before: Vec<_> = instructions.iter().filter(|one| one.ip() < site.address).collect();
            let uses_gs = |one: &&Instruction| one.memory_segment() == Register::GS;
            ensure!(!before.into_iter().any(|one| uses_gs(&one)), "{name} looks behind GS before the fence");
        }
        Ok(())
    }

    /// Both ways out go by `verw`, behind the last load and before `swapgs`.
    fn check_buffers(&self) -> Result<()> {
        let out = self.x86_64("user::enter_cleared")?;
        let sites = self.sites.iter().filter(|site| site.feature == CLEAR_BUFFERS);
        ensure!(sites.count() == 2, "there are two ways out");
        let verws: Vec<_> = (0..out.len()).filter(|&at| out[at].mnemonic() == Mnemonic::Verw).collect();
        ensure!(verws.len() == 2, "two ways out, and {} times verw", verws.len());
        for at in verws {
            let next = out.get(at + 1).map(Instruction::mnemonic);
            ensure!(matches!(next, Some(Mnemonic::Swapgs | Mnemonic::Jmp)), "behind verw comes {next:?}");
        }
        Ok(())
    }

    /// Only one function reads identification registers and CTR_EL0: hypervisors trap that. MIDR_EL1 and MPIDR_EL1 they
    /// do not.
    fn check_identification(&self) -> Result<()> {
        const READER: &str = "hal::arch::aarch64::platform::identity::Identity::read";
        /// MRS (C6.2.228): everything but the target.
        const CACHE_TYPE: u32 = 0xd53b_0020;
        /// MRS of op0 3, op1 0, CRn 0; then CRm and op2.
        const IDENTIFICATION: (u32, u32) = (0xffff_f000, 0xd538_0000);
        const FREE: [u32; 2] = [0xd538_0000, 0xd538_00a0];
        let is_trapped = |word: &u32| {
            let register = word & !31;
            register == CACHE_TYPE
                || register & IDENTIFICATION.0 == IDENTIFICATION.1 && !FREE.contains(&register)
        };
        let mut readers = Vec::new();
        for (name, start, end) in symbols::functions(self.file)? {
            let code = self.image.bytes(start, end)?.as_chunks().0;
            if code.iter().any(|word| is_trapped(&u32::from_le_bytes(*word))) {
                readers.push(name);
            }
        }
        ensure!(readers == [READER], "identification registers are read by {readers:?}");
        Ok(())
    }

    /// Who spins for another CPU watches the word and sleeps (WFE, C6.2.337): each exclusive load without a store has
    /// one behind it, three words on.
    fn check_spinning(&self) -> Result<()> {
        for name in SPINNING {
            let (_, code) = self.function(name)?;
            let words: Vec<u32> = code.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
            ensure!((0..words.len()).any(|at| atomics::waits(&words[at..])), "{name} spins without wfe");
        }
        Ok(())
    }

    fn words(&self, name: &str) -> Result<Vec<u32>> {
        let (_, code) = self.function(&format!("hal::arch::aarch64::{name}"))?;
        Ok(code.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    fn check_aarch64(&self) -> Result<()> {
        /// CSDB, and the fixed bits of CSEL (C6.2.79, C6.2.80).
        const BARRIER: u32 = 0xd503_229f;
        const SELECT: (u32, u32) = (0xffe0_0c00, 0x9a80_0000);
        for name in ["copy_in", "copy_out", "copy_halfwords", "clear", "load", "store", "compare_exchange"] {
            let words = self.words(&format!("user_copy::{name}_masked"))?;
            let select = words.iter().position(|word| word & SELECT.0 == SELECT.1);
            let barrier = words.iter().position(|word| *word == BARRIER);
            ensure!(select.is_some() && barrier > select, "{name}_masked does not mask");
        }
        self.check_identification()?;
        self.check_spinning()?;
        // mov xN, xzr.
        let cleared = self.words("platform::guards::user_exit")?;
        for register in 1..=18 {
            ensure!(
                cleared.contains(&(0xaa1f_03e0 | register)),
                "x{register} keeps what a program left there"
            );
        }
        Ok(())
    }
}
