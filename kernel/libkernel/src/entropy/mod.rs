//! Randomness as it is collected: a pool that keeps it, and what is believed of those that feed it.
//!
//! All that is offered goes into the pool, whatever it is worth: no source can take away what others gave. What a
//! source is *credited* with decides only when the pool counts as seeded. Sources of words ([`draw`]) and loaders'
//! seeds ([`worth`]) are credited in full unless they are plainly broken; the times of a loop ([`Window`]) and of
//! interrupts ([`Interrupts`]) with far less than they seem to have.
mod interrupts;
mod pool;
mod sources;
mod timing;

pub use interrupts::{Interrupts, credit as interrupts_credit};
pub use pool::{KEY_BYTES, Key, POOL_BITS, Pool};
pub use sources::{Drawn, WORDS, draw, worth};
pub use timing::{Judgement, SAMPLES, Window};
