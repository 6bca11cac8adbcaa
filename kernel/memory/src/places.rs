//! Where the parts of a program are said to lie, and what else is told of it: its auxiliary vector and its file
//! (`PR_SET_MM`).
//!
//! The kernel itself goes by the program break alone; the rest is for `/proc` and for core dumps.

use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::auxv::AT_NULL;
use abi::native::process::AT_VECTOR_SIZE;
use abi::process::PrctlMmMap;
use libkernel::addr::{USER_END, UserAddr, UserRange};
use outcome::OrErrno;
use zerocopy::IntoBytes;

use super::file::MappedFile;
use super::layout::{LOWEST_ADDRESS, Layout};
use super::{AddressSpace, ExecuteAccess};

/// The program's file, which nobody writes as long as it is run.
pub(super) struct Executable {
    file: Arc<dyn MappedFile>,
    _access: ExecuteAccess,
}

/// The words of an auxiliary vector that is as long as one can be.
pub type AuxiliaryVector = [u64; AT_VECTOR_SIZE];

fn places_of(layout: &Layout) -> PrctlMmMap {
    PrctlMmMap {
        start_code: layout.code.start().as_u64(),
        end_code: layout.code.end().as_u64(),
        start_data: layout.data.start().as_u64(),
        end_data: layout.data.end().as_u64(),
        start_brk: layout.brk_start.as_u64(),
        brk: layout.brk.as_u64(),
        start_stack: layout.stack_start.as_u64(),
        arg_start: layout.arguments.start().as_u64(),
        arg_end: layout.arguments.end().as_u64(),
        env_start: layout.environment.start().as_u64(),
        env_end: layout.environment.end().as_u64(),
        ..PrctlMmMap::default()
    }
}

/// Whether an address may be said of a program: `EINVAL` below `vm.mmap_min_addr` and beyond the user half.
pub fn check_place(address: u64) -> Result<(), Errno> {
    if (LOWEST_ADDRESS..USER_END).contains(&address) { Ok(()) } else { Err(Errno::EINVAL) }
}

fn range(start: u64, end: u64) -> Result<UserRange, Errno> {
    check_place(start)?;
    check_place(end)?;
    UserRange::from_bounds(UserAddr::new(start), UserAddr::new(end)).ok_or(Errno::EINVAL)
}

/// Moves a layout's places, all or none. `EINVAL` for what cannot be, and for more data than the limit (Linux's
/// `validate_prctl_map_addr`).
fn set_places(layout: &mut Layout, places: &PrctlMmMap, data_limit: u64) -> Result<(), Errno> {
    let code = range(places.start_code, places.end_code)?;
    let data = range(places.start_data, places.end_data)?;
    let heap = range(places.start_brk, places.brk)?;
    let arguments = range(places.arg_start, places.arg_end)?;
    let environment = range(places.env_start, places.env_end)?;
    check_place(places.start_stack)?;
    if code.is_empty() || heap.length() + data.length() > data_limit {
        return Err(Errno::EINVAL);
    }
    (layout.brk_start, layout.brk) = (heap.start(), heap.end());
    layout.stack_start = UserAddr::new(places.start_stack);
    (layout.code, layout.data) = (code, data);
    (layout.arguments, layout.environment) = (arguments, environment);
    Ok(())
}

impl AddressSpace {
    /// Changes where parts of the program are said to lie. Data and heap together are bounded by `data_limit` bytes.
    /// `EFAULT` where no memory ends above the address that `change` gives.
    pub fn change_places(
        &self,
        data_limit: u64,
        change: impl FnOnce(&mut PrctlMmMap) -> Result<Option<UserAddr>, Errno>,
    ) -> Result<(), Errno> {
        let mut state = self.state.write();
        let mut layout = state.layout.clone();
        let mut places = places_of(&layout);
        let below_memory = change(&mut places)?;
        set_places(&mut layout, &places, data_limit)?;
        if below_memory.is_some_and(|address| state.areas.first_from(address).is_none()) {
            return Err(Errno::EFAULT);
        }
        state.layout = layout;
        Ok(())
    }

    /// `EINVAL` for places that [`AddressSpace::change_places`] would refuse.
    pub fn check_places(&self, places: &PrctlMmMap, data_limit: u64) -> Result<(), Errno> {
        set_places(&mut self.layout(), places, data_limit)
    }

    /// The auxiliary vector with its end, as `/proc/PID/auxv` shows it.
    pub fn auxiliary_vector(&self) -> Result<Vec<u8>, Errno> {
        let layout = self.layout();
        let mut bytes = Vec::new();
        if let Some(given) = &layout.given_auxiliary_vector {
            let pairs = given.chunks(2).position(|pair| pair.first() == Some(&AT_NULL)).unwrap_or(0) + 1;
            let words = given.get(..2 * pairs).unwrap_or(given);
            bytes.try_reserve_exact(size_of_val(words)).or_errno()?;
            bytes.extend_from_slice(words.as_bytes());
            return Ok(bytes);
        }
        let range = layout.auxiliary_vector;
        let length = usize::try_from(range.length()).map_err(|_| Errno::ENOMEM)?;
        bytes.try_reserve_exact(length).or_errno()?;
        bytes.resize(length, 0);
        let there = self.read_remote(range.start(), &mut bytes);
        bytes.truncate(there);
        Ok(bytes)
    }

    /// Says what the auxiliary vector is; its last pair is always the end.
    pub fn set_auxiliary_vector(&self, mut vector: AuxiliaryVector) {
        if let Some(end) = vector.last_chunk_mut::<2>() {
            *end = [AT_NULL, 0];
        }
        let given = Some(Arc::from(vector));
        let before = core::mem::replace(&mut self.state.write().layout.given_auxiliary_vector, given);
        drop(before);
    }

    /// The file of the program that it was made for, or that was named since; `None` before `execve`.
    pub fn program(&self) -> Option<Arc<dyn MappedFile>> {
        self.state.read().executable.as_ref().map(|executable| executable.file.clone())
    }

    /// Says which file the program is; nobody writes that from now on, who runs the one before may write it. `EACCES`
    /// for a file that is open for writing, `EBUSY` while the one before is mapped.
    pub fn set_program(&self, file: Arc<dyn MappedFile>) -> Result<(), Errno> {
        let object = file.object().ok_or(Errno::EACCES)?;
        let mut state = self.state.write();
        let is_before = |other: &Arc<dyn MappedFile>| {
            let before = state.executable.as_ref();
            before.is_some_and(|executable| executable.file.is_where(&**other))
        };
        if state.areas.iter().filter_map(|(_, area)| area.view()?.file()).any(is_before) {
            return Err(Errno::EBUSY);
        }
        let access = ExecuteAccess::acquire(object).map_err(|_| Errno::EACCES)?;
        let executable = Executable { file, _access: access };
        let before = state.executable.replace(Arc::new(executable));
        drop(state);
        drop(before);
        Ok(())
    }

    /// Records where `execve` put things, and the program's file.
    pub fn set_layout(&self, layout: Layout, program: Option<(Arc<dyn MappedFile>, ExecuteAccess)>) {
        let mut state = self.state.write();
        state.layout = layout;
        state.executable = program.map(|(file, access)| Arc::new(Executable { file, _access: access }));
    }
}
