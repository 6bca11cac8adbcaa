//! `PR_SET_MM`: what a program says of itself, for who restores processes and for titles. Source: prctl(2), Linux 6.1's
//! `kernel/sys.c`.

use abi::Errno;
use abi::process::{
    PR_SET_MM_ARG_END, PR_SET_MM_ARG_START, PR_SET_MM_AUXV, PR_SET_MM_BRK, PR_SET_MM_END_CODE,
    PR_SET_MM_END_DATA, PR_SET_MM_ENV_END, PR_SET_MM_ENV_START, PR_SET_MM_EXE_FILE, PR_SET_MM_MAP,
    PR_SET_MM_MAP_SIZE, PR_SET_MM_START_BRK, PR_SET_MM_START_CODE, PR_SET_MM_START_DATA,
    PR_SET_MM_START_STACK, PrctlMmMap,
};
use libkernel::addr::UserAddr;
use memory::AddressSpace;
use memory::places::{AuxiliaryVector, check_place};
use memory::user::{UserPtr, read_bytes};
use subject::{Resource, capability};
use vfs::attributes::FileKind;
use vfs::permission::{self, Access};
use zerocopy::{FromZeros, IntoBytes};

use super::Caller;
use super::at::content_file;

/// No file is named.
const NO_FILE: u32 = u32::MAX;

/// `prctl(PR_SET_MM, option, argument, size, rest)`.
pub(super) fn set_mm(
    caller: &Caller<'_>,
    space: &AddressSpace,
    option: u64,
    [argument, size, rest]: [u64; 3],
) -> Result<(), Errno> {
    // Linux's option is an `int`.
    let option = option as u32;
    let takes_size = matches!(option, PR_SET_MM_AUXV | PR_SET_MM_MAP | PR_SET_MM_MAP_SIZE);
    if rest != 0 || size != 0 && !takes_size {
        return Err(Errno::EINVAL);
    }
    let address = UserAddr::new(argument);
    match option {
        PR_SET_MM_MAP_SIZE => return UserPtr::new(address).write(&(size_of::<PrctlMmMap>() as u32)),
        PR_SET_MM_MAP => return set_all(caller, space, address, size),
        _ => caller.thread.credentials().require(capability::SYS_RESOURCE)?,
    }
    match option {
        PR_SET_MM_EXE_FILE => set_program(caller, space, argument as u32),
        PR_SET_MM_AUXV => {
            space.set_auxiliary_vector(read_vector(address, size)?);
            Ok(())
        }
        _ => {
            check_place(argument)?;
            space.change_places(data_limit(caller), |places| {
                let (field, must_lie_in_memory) = field(places, option).ok_or(Errno::EINVAL)?;
                *field = argument;
                Ok(must_lie_in_memory.then_some(address))
            })
        }
    }
}

fn data_limit(caller: &Caller<'_>) -> u64 {
    caller.thread.process().limits().soft(Resource::Data)
}

/// The place that an option is about, and whether some memory must end above it.
fn field(places: &mut PrctlMmMap, option: u32) -> Option<(&mut u64, bool)> {
    Some(match option {
        PR_SET_MM_START_CODE => (&mut places.start_code, false),
        PR_SET_MM_END_CODE => (&mut places.end_code, false),
        PR_SET_MM_START_DATA => (&mut places.start_data, false),
        PR_SET_MM_END_DATA => (&mut places.end_data, false),
        PR_SET_MM_START_BRK => (&mut places.start_brk, false),
        PR_SET_MM_BRK => (&mut places.brk, false),
        PR_SET_MM_START_STACK => (&mut places.start_stack, true),
        PR_SET_MM_ARG_START => (&mut places.arg_start, true),
        PR_SET_MM_ARG_END => (&mut places.arg_end, true),
        PR_SET_MM_ENV_START => (&mut places.env_start, true),
        PR_SET_MM_ENV_END => (&mut places.env_end, true),
        _ => return None,
    })
}

/// `PR_SET_MM_MAP`: everything, for anybody; only another file is a matter of privilege.
fn set_all(caller: &Caller<'_>, space: &AddressSpace, address: UserAddr, size: u64) -> Result<(), Errno> {
    if size != size_of::<PrctlMmMap>() as u64 {
        return Err(Errno::EINVAL);
    }
    let wanted: PrctlMmMap = UserPtr::new(address).read()?;
    space.check_places(&wanted, data_limit(caller))?;
    let vector = match (wanted.auxv, wanted.auxv_size) {
        (_, 0) => None,
        (0, _) => return Err(Errno::EINVAL),
        (address, size) => Some(read_vector(UserAddr::new(address), size.into())?),
    };
    if wanted.exe_fd != NO_FILE {
        let may_restore = caller.thread.with_credentials(|own| {
            own.has_capability(capability::CHECKPOINT_RESTORE) || own.has_capability(capability::SYS_ADMIN)
        });
        if !may_restore {
            return Err(Errno::EPERM);
        }
        set_program(caller, space, wanted.exe_fd)?;
    }
    space.change_places(data_limit(caller), |places| {
        *places = wanted;
        Ok(None)
    })?;
    if let Some(vector) = vector {
        space.set_auxiliary_vector(vector);
    }
    Ok(())
}

/// Copies an auxiliary vector in, behind which all is zero; `EINVAL` for one that is longer than any.
fn read_vector(address: UserAddr, size: u64) -> Result<AuxiliaryVector, Errno> {
    let mut vector = AuxiliaryVector::new_zeroed();
    let size = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    read_bytes(address, vector.as_mut_bytes().get_mut(..size).ok_or(Errno::EINVAL)?)?;
    Ok(vector)
}

/// Names the program's file, which must be one that could be executed.
fn set_program(caller: &Caller<'_>, space: &AddressSpace, fd: u32) -> Result<(), Errno> {
    let file = content_file(caller, fd.cast_signed())?;
    if file.inode().kind != FileKind::Regular || file.forbids_execution() {
        return Err(Errno::EACCES);
    }
    permission::check(file.inode(), &caller.thread.credentials(), Access::EXECUTE)?;
    space.set_program(file)
}
