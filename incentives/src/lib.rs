//! Contribution accounts between peers, and what misbehaviour costs.
//!
//! Both are first-hand: a peer counts what it was given and gave itself, and what went wrong between itself and another.
//! Nothing here believes what one peer says of another, so nobody gains by talking well of itself or badly of others
//! (the paper, §6: peers only keep track of the contributions that they have given or received).
//!
//! Both are bounded, whatever strangers do, and neither has a clock: instants come in with each call.
//!
//! On top of that is [`trust`]: accounts that both sides sign, and shifts that make what is owed here into something that is
//! owed there. Nor is hearsay believed there: an advert only says where a shift may be tried.

mod accounts;
mod allowance;
pub mod flow;
mod standing;
pub mod store;
pub mod trust;
pub mod view;
mod walk;

pub use accounts::{Account, Accounts, Contribution};
pub use standing::{BAN, Offence, Standing, Standings, Verdict};
pub use trust::Trust;
