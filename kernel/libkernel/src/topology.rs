//! Where a CPU sits among the others.

/// A CPU's place: numbers that are unique within what comes before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuPosition {
    /// The package, or socket.
    pub package: u32,
    /// The cluster of cores, where firmware tells of some.
    pub cluster: u32,
    /// The core.
    pub core: u32,
    /// The thread of the core.
    pub thread: u32,
}

impl CpuPosition {
    /// Whether both are in one package.
    pub fn shares_package(self, other: CpuPosition) -> bool {
        self.package == other.package
    }

    /// Whether both are threads of one core.
    pub fn shares_core(self, other: CpuPosition) -> bool {
        (self.package, self.cluster, self.core) == (other.package, other.cluster, other.core)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_of_two_clusters_are_two() {
        let place = |package, cluster, core, thread| CpuPosition { package, cluster, core, thread };
        assert!(place(0, 1, 2, 0).shares_core(place(0, 1, 2, 1)));
        assert!(!place(0, 1, 2, 0).shares_core(place(0, 0, 2, 0)));
        assert!(place(0, 1, 2, 0).shares_package(place(0, 0, 2, 0)));
        assert!(!place(1, 1, 2, 0).shares_package(place(0, 1, 2, 0)));
    }
}
