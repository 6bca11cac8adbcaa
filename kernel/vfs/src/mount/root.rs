//! Exchanging the root: pivot_root(2).

use alloc::sync::Arc;

use abi::Errno;

use super::{Location, Turn, table};
use crate::moves::Moving;

impl Turn {
    /// Puts the mount of a new root in the place of the one of the present root, and that on a place that lies in the
    /// first. EINVAL where one of them is not of the caller's namespace, or lies in a mount that is shared, or
    /// `put_old` does; ENOENT for removed names; EBUSY if they are in one mount. The very first mount cannot go
    /// anywhere: EINVAL.
    pub fn exchange_root(&self, root: &Location, new: &Location, put_old: Location) -> Result<(), Errno> {
        let landing = self.landing(put_old)?;
        let put_old = &landing.place;
        self.check_own(&root.mount)?;
        self.check_own(&new.mount)?;
        let outer = |place: &Location| place.mount.place().map(|place| place.mount);
        let concerned = [Some(put_old.mount.clone()), outer(new), outer(root)];
        if new.mount.place().is_none() || concerned.iter().flatten().any(|mount| mount.peers().is_some()) {
            return Err(Errno::EINVAL);
        }
        if new.dentry.is_removed() {
            return Err(Errno::ENOENT);
        }
        if [&new.mount, &put_old.mount].iter().any(|mount| Arc::ptr_eq(mount, &root.mount)) {
            return Err(Errno::EBUSY);
        }
        let can_move = root.is_mount_root() && root.mount.place().is_some();
        if !can_move || !new.is_mount_root() || !put_old.is_below(new) || !new.is_below(root) {
            return Err(Errno::EINVAL);
        }
        let _moving = Moving::start();
        table::exchange(&new.mount, &root.mount, put_old.clone());
        self.namespace.changes.announce();
        Ok(())
    }
}
