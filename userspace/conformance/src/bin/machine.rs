//! What programs do to the CPU: the tests of this architecture.
#![no_std]
#![no_main]

conformance::tests!(conformance::arch::TESTS, conformance::arch::HELPERS);
