//! AArch64: instructions and registers that a kernel's entry code has to survive.

mod access;
pub mod attempt;
mod calls;
pub mod core_dump;
mod instructions;
mod known_state;
mod returns;
mod tags;

use crate::Test;
use crate::harness::Helper;

/// What only this architecture can be asked.
pub const TESTS: &[Test] = &[
    ("privileged_registers", access::privileged_registers),
    ("waiting_instructions", access::waiting_instructions),
    ("scalable_vectors", access::scalable_vectors),
    ("misaligned_exclusive", access::misaligned_exclusive),
    ("kernel_addresses", access::kernel_addresses),
    ("tagged_loads_and_stores", tags::tagged_loads_and_stores),
    ("tagged_pointers_are_refused", tags::tagged_pointers_are_refused),
    ("tagged_pointers_are_accepted", tags::tagged_pointers_are_accepted),
    ("the_control_of_tags", tags::the_control_of_tags),
    ("tags_are_inherited", tags::tags_are_inherited),
    ("tagged_calls_on_memory", tags::tagged_calls_on_memory),
    ("tagged_new_addresses", tags::tagged_new_addresses),
    ("the_fault_of_a_tagged_address", tags::the_fault_of_a_tagged_address),
    ("the_frame_of_a_tagged_address", tags::the_frame_of_a_tagged_address),
    ("the_value_of_a_signal_keeps_its_tag", tags::the_value_of_a_signal_keeps_its_tag),
    ("a_handler_on_a_tagged_stack", tags::a_handler_on_a_tagged_stack),
    ("a_tagged_futex", tags::a_tagged_futex),
    ("unknown_calls", calls::unknown_calls),
    ("a_call_keeps_registers", calls::a_call_keeps_registers),
    ("a_call_keeps_flags", calls::a_call_keeps_flags),
    ("any_immediate_is_a_call", calls::any_immediate_is_a_call),
    ("a_call_with_a_wild_stack", calls::a_call_with_a_wild_stack),
    ("the_thread_pointer_is_kept", calls::the_thread_pointer_is_kept),
    ("vectors_survive_switches", calls::vectors_survive_switches),
    ("breakpoints", instructions::breakpoints),
    ("undefined_instructions", instructions::undefined_instructions),
    ("privileged_instructions", instructions::privileged_instructions),
    ("an_unaligned_stack_pointer", instructions::an_unaligned_stack_pointer),
    ("an_unaligned_program_counter", instructions::an_unaligned_program_counter),
    ("addresses_of_nobody", instructions::addresses_of_nobody),
    ("counters", instructions::counters),
    ("identification_registers", instructions::identification_registers),
    ("cache_maintenance", instructions::cache_maintenance),
    ("a_handler_changes_registers", returns::a_handler_changes_registers),
    ("a_handler_returns_to_bad_states", returns::a_handler_returns_to_bad_states),
    ("a_handler_returns_to_bad_addresses", returns::a_handler_returns_to_bad_addresses),
    ("a_handler_returns_with_bad_records", returns::a_handler_returns_with_bad_records),
    ("a_handler_returns_with_changed_records", returns::a_handler_returns_with_changed_records),
    ("a_refused_frame_blames_the_stack", returns::a_refused_frame_blames_the_stack),
    ("a_return_with_a_misaligned_stack", returns::a_return_with_a_misaligned_stack),
    ("the_frame_tells_the_fault", returns::the_frame_tells_the_fault),
    ("the_frame_tells_the_last_fault", returns::the_frame_tells_the_last_fault),
    ("no_debug_channel", known_state::no_debug_channel),
    ("no_counters_but_the_clock", known_state::no_counters_but_the_clock),
    ("thread_registers", known_state::thread_registers),
    ("one_key_for_all_cpus", known_state::one_key_for_all_cpus),
    ("an_execution_starts_clean", known_state::an_execution_starts_clean),
];

/// The programs that these tests execute.
pub const HELPERS: &[Helper] = &[("clean_state", known_state::clean_state)];

/// `sa_restorer`: the kernel's own is in the vDSO.
pub fn restorer() -> Option<u64> {
    None
}
