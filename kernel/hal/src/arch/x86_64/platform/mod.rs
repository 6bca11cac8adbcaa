//! What only a PC has: descriptor tables, ports, interrupt controllers, its clocks, its firmware's tables.
pub mod acpi;
pub mod apic;
pub mod description;
pub mod gdt;
pub mod ioapic;
pub mod kernel_map;
pub mod known_state;
pub mod machine_check;
pub mod mmio;
pub mod msr;
pub mod pic;
pub mod pit;
pub mod port;
pub mod pvh;
pub mod rtc;
pub mod shootdown;
pub mod smap;
