//! `cpu/vulnerabilities`: what speculation lets out of these CPUs, and what is done about it (Linux:
//! `drivers/base/cpu.c`).

use abi::Errno;
use hal::speculation;
use libkernel::speculation::Weakness;
use libkernel::text::Text;
use vfs::generated::{Fixed, file};

/// Makes the files: `files! { "mds" Mds, … }` is `&[file("mds", |text| show(Weakness::Mds, text)), …]`.
macro_rules! files {
    ($($name:literal $weakness:ident,)*) => {
        &[$(file($name, |text| show(Weakness::$weakness, text)),)*]
    };
}

/// In the order of their names.
pub static FILES: &[Fixed] = files! {
    "gather_data_sampling" GatherDataSampling,
    "indirect_target_selection" IndirectTargetSelection,
    "itlb_multihit" ItlbMultihit,
    "l1tf" L1tf,
    "mds" Mds,
    "meltdown" Meltdown,
    "mmio_stale_data" MmioStaleData,
    "reg_file_data_sampling" RegFileDataSampling,
    "retbleed" Retbleed,
    "spec_rstack_overflow" SpecRstackOverflow,
    "spec_store_bypass" SpecStoreBypass,
    "spectre_v1" SpectreV1,
    "spectre_v2" SpectreV2,
    "srbds" Srbds,
    "tsa" Tsa,
    "tsx_async_abort" TsxAsyncAbort,
    "vmscape" Vmscape,
};

fn show(weakness: Weakness, text: &mut Text) -> Result<(), Errno> {
    let mut line = Line(text);
    speculation::describe(weakness, &mut line).map_err(|_| Errno::ENOMEM)?;
    text.put(b"\n");
    Ok(())
}

/// A text that takes formatted words.
struct Line<'a>(&'a mut Text);

impl core::fmt::Write for Line<'_> {
    fn write_str(&mut self, words: &str) -> core::fmt::Result {
        self.0.put(words.as_bytes());
        Ok(())
    }
}
