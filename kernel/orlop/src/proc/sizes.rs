//! `/proc/PID/statm` and the lines of `status` about memory: proc(5).
//!
//! Pages are counted by their tables as they come and go, and what areas hold by the address space; only code and
//! stacks are added up when somebody looks.

use abi::Errno;
use hal::paging::Resident;
use libkernel::addr::{PAGE_SIZE, page_down, page_up};
use libkernel::text::Text;
use memory::AddressSpace;

use super::subject::Subject;

/// Pages of memory, and those that are there.
pub fn total_and_resident(subject: &Subject) -> (u64, u64) {
    subject.address_space().map_or((0, 0), |space| (space.usage().0.total, space.resident().total()))
}

/// What the program itself has of code, in pages (Linux: `task_mem`).
fn own_code(space: &AddressSpace, all: u64) -> u64 {
    let code = space.layout().code;
    let end = page_up(code.end().as_u64()).unwrap_or(u64::MAX);
    (end.saturating_sub(page_down(code.start().as_u64())) / PAGE_SIZE).min(all)
}

/// `statm`: pages in all, resident, of files; code, 0, data and stacks, 0.
pub fn statm(subject: &Subject, text: &mut Text) -> Result<(), Errno> {
    let Ok(space) = subject.address_space() else {
        text.put(b"0 0 0 0 0 0 0\n");
        return Ok(());
    };
    let ((usage, _), resident) = (space.usage(), space.resident());
    let (code, stack) = space.code_and_stack_pages();
    writeln!(
        text,
        "{} {} {} {} 0 {} 0",
        usage.total,
        resident.total(),
        resident.objects,
        own_code(&space, code),
        usage.data + stack
    );
    Ok(())
}

/// From `VmPeak` to `THP_enabled`; nothing for who has no memory any more.
pub fn lines(text: &mut Text, subject: &Subject) {
    const KIB_PER_PAGE: u64 = PAGE_SIZE / 1024;
    let Ok(space) = subject.address_space() else { return };
    let (usage, peak) = space.usage();
    let resident = space.resident();
    let Resident { anonymous, objects } = resident;
    let (all_code, stack) = space.code_and_stack_pages();
    let code = own_code(&space, all_code);
    for (label, pages) in [
        ("VmPeak", peak),
        ("VmSize", usage.total),
        ("VmLck", usage.locked),
        // No device is lent a program's pages.
        ("VmPin", 0),
        ("VmHWM", space.peak_resident_pages().max(resident.total())),
        ("VmRSS", resident.total()),
        ("RssAnon", anonymous),
        // Files are memory of tmpfs, as objects without a name are.
        ("RssFile", 0),
        ("RssShmem", objects),
        ("VmData", usage.data),
        ("VmStk", stack),
        ("VmExe", code),
        ("VmLib", all_code - code),
        ("VmPTE", space.page_table().table_bytes() / PAGE_SIZE),
        // There is nothing to swap to, and no page is huge.
        ("VmSwap", 0),
        ("HugetlbPages", 0),
    ] {
        writeln!(text, "{label}:\t{:8} kB", pages * KIB_PER_PAGE);
    }
    writeln!(text, "CoreDumping:\t{}\nTHP_enabled:\t0", u32::from(subject.process.is_being_dumped()));
}
