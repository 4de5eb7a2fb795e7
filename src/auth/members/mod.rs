//! Members of a library: signed statements, what follows from them, and secrets sealed to ids.
//!
//! It is no registry of devices (names, addresses and roles are `state`'s), and it sends nothing. What one host knows is
//! its [`Circle`]: statements and the secrets it holds. Called by `net` (which asks it before anything else moves),
//! `engine` (which changes it) and `node` (which keeps it in a private file).
//!
//! # What is stated
//!
//! A library begins with a birth: its signer is the first admin, and whoever proves the secret is a member. Admins
//! state that a host is a member (or an admin too), that it is removed, that from now on only accepted hosts are
//! members, and that there is a new secret. Each statement names the latest ones its signer had seen, and with those
//! all before them: so anyone can tell what a signer knew, and nobody can leave out what its own authority rests on.
//! That takes the place of a sequence number for every signer.
//!
//! # The rules, and why hosts agree
//!
//! 1. A statement counts only if its signer was an admin by what it had seen, and had not seen its own removal. That
//!    depends on nothing else, so it is the same on every host and never changes; what fails is not even kept.
//! 2. A removal that counts holds, for ever. Removals made apart from each other all hold.
//! 3. Of a removed host, everything but removals is void unless the one who removed it had seen it; of several, all of
//!    them. What rests on a void statement is void too (again but for removals): an admin that was made by a thief is
//!    none.
//! 4. A host is removed, whatever else is stated of it. Else it is a member if an accepting statement stands.
//! 5. The first removal makes the library listed.
//! 6. The secret of the highest epoch is the current one, and of several of one epoch the one of the lowest hash. It
//!    must be replaced once a removal came about that its maker had not seen: two admins that remove two hosts at the
//!    same time each hand their secret to the host the other removes.
//!
//! Rule 2 never looks at rule 3, so nothing goes in circles: what is removed follows from each removal and what is
//! before it, and what stands follows from the removals and, statement by statement, from what is before each. Both are
//! functions of the set of statements; the order in which these came has no part in it.
//!
//! # A removed admin that signs on
//!
//! With its old key it can sign as if it did not know of its removal. By rule 3 it accepts nobody, makes nobody admin
//! and no secret, however many statements it signs. Its removals hold (rule 2), since nobody can tell them from those
//! it made in time. That is the side to err on: they lock out too many and let in nobody, and it could have removed the
//! same hosts before it was caught. They reach a library only through a member that has not heard of its removal yet,
//! since all others refuse it; so such a member is told of the history first, whatever else it is there for. Whoever a
//! thief removed pairs again under a new id.
//!
//! # Two admins that remove each other
//!
//! Both are removed. Any order of rank would make the thief of the highest device irremovable. If nobody else is an
//! admin, nobody is: members go on as they are, and the way out is a new library.
//!
//! # The last admin
//!
//! Removing it is refused where it is asked for ([`SignError::LastAdmin`]): make another device admin first.
//!
//! # Bounds
//!
//! A history has at most [`STATEMENTS`](crate::limits::membership::STATEMENTS) statements, the last of them only for
//! removals and new secrets. Only admins can use them up. Beyond that bound hosts may differ in which they hold; then a
//! new library has to be made, and the one who signs is told so.

mod circle;
#[cfg(test)]
mod circle_tests;
mod epoch;
mod history;
mod roster;
mod sealed;
mod statement;
#[cfg(test)]
mod tests;

pub use circle::{ChangeError, Circle, DecodeCircleError, Succession, TakeError, Taken};
pub use epoch::SecretHash;
pub use roster::{Membership, Merged, NotTheBirth, Roster, SignError, Standing, TwoBirths};
pub use sealed::{NoKey, OpenError, SEALED_SECRET_BYTES, SealedSecret};
pub use statement::{Action, Statement, StatementError, StatementId};
