//! x86_64: registers, flags and instructions that a kernel's entry code has to survive.

pub mod attempt;
mod calls;
pub mod core_dump;
mod flags;
mod instructions;
mod known_state;
mod returns;
mod state;

use crate::Test;
use crate::harness::Helper;
use core::arch::naked_asm;

/// What only this architecture can be asked.
pub const TESTS: &[Test] = &[
    ("unknown_calls", calls::unknown_calls),
    ("a_call_keeps_registers", calls::a_call_keeps_registers),
    ("a_call_keeps_flags", calls::a_call_keeps_flags),
    ("call_numbers_have_32_bits", calls::call_numbers_have_32_bits),
    ("arguments_have_64_bits", calls::arguments_have_64_bits),
    ("a_call_with_a_wild_stack", calls::a_call_with_a_wild_stack),
    ("the_old_gate_is_closed", calls::the_old_gate_is_closed),
    ("undefined_instructions", instructions::undefined_instructions),
    ("privileged_instructions", instructions::privileged_instructions),
    ("breakpoints", instructions::breakpoints),
    ("arithmetic", instructions::arithmetic),
    ("floating_point_exceptions", instructions::floating_point_exceptions),
    ("counters", instructions::counters),
    ("descriptor_tables_are_hidden", instructions::descriptor_tables_are_hidden),
    ("non_canonical_addresses", instructions::non_canonical_addresses),
    ("software_interrupts", instructions::software_interrupts),
    ("nested_task_flag", flags::nested_task_flag),
    ("trap_flag_steps", flags::trap_flag_steps),
    ("trap_flag_across_a_call", flags::trap_flag_across_a_call),
    ("alignment_check_flag", flags::alignment_check_flag),
    ("direction_flag", flags::direction_flag),
    ("identification_flag", flags::identification_flag),
    ("segment_registers", state::segment_registers),
    ("bad_selectors", state::bad_selectors),
    ("the_far_return", state::the_far_return),
    ("bases_of_fs_and_gs", state::bases_of_fs_and_gs),
    ("vectors_survive_switches", state::vectors_survive_switches),
    ("vectors_survive_a_handler", state::vectors_survive_a_handler),
    ("a_handler_starts_clean", returns::a_handler_starts_clean),
    ("a_handler_changes_registers", returns::a_handler_changes_registers),
    ("a_handler_returns_to_bad_selectors", returns::a_handler_returns_to_bad_selectors),
    ("a_handler_returns_to_bad_addresses", returns::a_handler_returns_to_bad_addresses),
    ("a_handler_returns_with_bad_flags", returns::a_handler_returns_with_bad_flags),
    ("a_handler_returns_with_bad_vectors", returns::a_handler_returns_with_bad_vectors),
    ("a_refused_frame_can_be_survived", returns::a_refused_frame_can_be_survived),
    ("the_frame_tells_the_fault", returns::the_frame_tells_the_fault),
    ("no_local_descriptors", known_state::no_local_descriptors),
    ("no_gate_of_ones_own", known_state::no_gate_of_ones_own),
    ("no_performance_counters", known_state::no_performance_counters),
    ("no_old_ways_in", known_state::no_old_ways_in),
    ("the_auxiliary_word_is_the_cpu", known_state::the_auxiliary_word_is_the_cpu),
    ("the_cpu_by_the_vdso", known_state::the_cpu_by_the_vdso),
    ("the_components_are_kept", known_state::the_components_are_kept),
    ("an_execution_starts_clean", known_state::an_execution_starts_clean),
];

/// The programs that these tests execute.
pub const HELPERS: &[Helper] = &[("clean_state", known_state::clean_state)];

/// Where a signal handler returns to: calls `rt_sigreturn`. RSP points to the frame behind its return address.
#[unsafe(naked)]
unsafe extern "C" fn sigreturn() -> ! {
    naked_asm!("mov eax, {number}", "syscall", "ud2", number = const abi::arch::x86_64::nr::rt_sigreturn)
}

/// `sa_restorer`: x86_64 has no default one.
pub fn restorer() -> Option<u64> {
    Some(sigreturn as *const () as u64)
}
