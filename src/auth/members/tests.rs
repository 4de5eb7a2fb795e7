//! What histories of members come to, however their statements travel.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::HostKey;
use super::super::LibrarySecret;
use super::statement::Body;
use super::*;
use crate::asset::HostId;
use crate::limits::membership as limits;

fn key(number: u8) -> HostKey {
    HostKey::from_seed(&[number; 32])
}

fn id(number: u8) -> HostId {
    key(number).id()
}

fn secret(number: u8) -> LibrarySecret {
    LibrarySecret::from_bytes([number; 32])
}

/// A library of the admin 1.
fn founded() -> Roster {
    Roster::found(&key(1), "mirror", 0, &secret(0), [7; 16])
}

/// A library with the admins 1, 2 and 3, and the member 4.
fn with_admins() -> Roster {
    let mut roster = founded();
    for number in 2..=4 {
        roster.accept(&key(1), id(number), number != 4).unwrap();
    }
    roster
}

/// A statement that no roster would have signed.
fn made_up(roster: &Roster, signer: u8, action: Action, seen: &[StatementId]) -> Statement {
    let mut seen = seen.to_vec();
    seen.sort_unstable();
    seen.dedup();
    let birth = roster.birth();
    let body =
        Body { library: birth.body.library, birth: Some(birth.id()), epoch: 0, signer: id(signer), action, seen };
    Statement::sign(&key(signer), body)
}

fn remove(number: u8) -> Action {
    Action::Remove { host: id(number) }
}

fn accept(number: u8, admin: bool) -> Action {
    Action::Accept { host: id(number), admin }
}

const MEMBER: Standing = Standing::Member { admin: false };
const ADMIN: Standing = Standing::Member { admin: true };

/// All that a roster says.
fn said(roster: &Roster) -> impl PartialEq + std::fmt::Debug + use<> {
    let hosts: BTreeMap<_, _> = (1..=9).map(|number| (number, format!("{:?}", roster.standing(id(number))))).collect();
    let accepted: BTreeSet<_> = roster.accepted().collect();
    (hosts, accepted, roster.membership(), roster.current(), roster.is_rekey_due(), roster.fingerprint())
}

/// What a host does in a made-up past.
#[derive(Debug, Clone)]
enum Step {
    /// Signs as its program would.
    Sign { host: u8, action: u8, about: u8 },
    /// Takes over all that another knows.
    Hear { host: u8, from: u8 },
    /// Signs what it likes, as if it had seen only what it names.
    MakeUp { host: u8, action: u8, about: u8, seen: Vec<Index> },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let hosts = 1..=5_u8;
    let sign = (hosts.clone(), 0..6_u8, 1..=7_u8).prop_map(|(host, action, about)| Step::Sign { host, action, about });
    let hear = (hosts.clone(), hosts.clone()).prop_map(|(host, from)| Step::Hear { host, from });
    let seen = proptest::collection::vec(any::<Index>(), 1..3);
    let make_up = (hosts, 0..6_u8, 1..=7_u8, seen).prop_map(|(host, action, about, seen)| Step::MakeUp {
        host,
        action,
        about,
        seen,
    });
    proptest::collection::vec(prop_oneof![3 => sign, 3 => hear, 2 => make_up], 0..40)
}

/// Plays a past of five hosts, and returns what they started from and every statement that was made.
fn played(steps: &[Step]) -> (Roster, Vec<Statement>) {
    let start = founded();
    let mut all: Vec<_> = start.statements().cloned().collect();
    let mut hosts: BTreeMap<u8, Roster> = (1..=5).map(|number| (number, start.clone())).collect();
    for (turn, step) in steps.iter().enumerate() {
        let new_secret = LibrarySecret::from_bytes([100 + u8::try_from(turn).unwrap(); 32]);
        match step {
            Step::Sign { host, action, about } => {
                let (roster, key) = (hosts.get_mut(host).unwrap(), key(*host));
                let signed = match action {
                    0 => roster.accept(&key, id(*about), false).map(|one| vec![one]),
                    1 | 2 => roster.accept(&key, id(*about), true).map(|one| vec![one]),
                    3 => roster.remove(&key, &[id(*about)], &[id(2)]),
                    4 => roster.list(&key, &[id(3)]),
                    _ => roster.rekey(&key, &new_secret).map(|one| vec![one]),
                };
                all.extend(signed.unwrap_or_default());
            }
            Step::Hear { host, from } => {
                let heard: Vec<_> = hosts[from].statements().cloned().collect();
                hosts.get_mut(host).unwrap().merge(heard);
            }
            Step::MakeUp { host, action, about, seen } => {
                let action = match action {
                    0 => accept(*about, false),
                    1 => accept(*about, true),
                    2 | 3 => remove(*about),
                    4 => Action::Listed,
                    _ => Action::Rekey { epoch: 1, secret: SecretHash::of(&new_secret) },
                };
                let seen: Vec<_> = seen.iter().map(|at| at.get(&all).id()).collect();
                let statement = made_up(&start, *host, action, &seen);
                hosts.get_mut(host).unwrap().merge([statement.clone()]);
                all.push(statement);
            }
        }
    }
    (start, all)
}

proptest! {
    #[test]
    fn order_repetition_and_splitting_change_nothing(
        steps in steps(), order in any::<[u8; 32]>(), sides in any::<u128>(), repeated in any::<u128>()
    ) {
        let (start, all) = played(&steps);
        let mut whole = start.clone();
        whole.merge(all.clone());

        let mut shuffled: Vec<_> = all.iter().cloned().enumerate().collect();
        shuffled.sort_by_key(|(_, statement)| *blake3::keyed_hash(&order, statement.id().as_bytes()).as_bytes());
        let (mut one_by_one, mut left, mut right) = (start.clone(), start.clone(), start.clone());
        for (place, statement) in &shuffled {
            for _ in 0..=(repeated >> (place % 128) & 1) {
                one_by_one.merge([statement.clone()]);
            }
            let side = if sides >> (place % 128) & 1 == 1 { &mut left } else { &mut right };
            side.merge([statement.clone()]);
        }
        prop_assert_eq!(said(&one_by_one), said(&whole));

        // Each side hears what the other was told.
        for (place, statement) in &shuffled {
            let side = if sides >> (place % 128) & 1 == 1 { &mut right } else { &mut left };
            side.merge([statement.clone()]);
        }
        prop_assert_eq!(said(&left), said(&whole));
        prop_assert_eq!(said(&right), said(&whole));

        // What a host keeps makes the same roster again.
        let mut kept = Roster::from_birth("mirror", whole.birth().clone()).unwrap();
        let merged = kept.merge(whole.statements().cloned());
        prop_assert_eq!(merged.added + 1, whole.statements().len());
        prop_assert_eq!(said(&kept), said(&whole));
    }

    #[test]
    fn what_is_removed_stays_removed(steps in steps()) {
        let (mut roster, all) = played(&steps);
        let mut removed = BTreeSet::new();
        for statement in all {
            roster.merge([statement]);
            let now: BTreeSet<_> = roster.removed().collect();
            prop_assert!(now.is_superset(&removed));
            prop_assert!(roster.accepted().all(|host| !now.contains(&host)));
            prop_assert!(now.is_empty() || roster.membership() == Membership::Listed);
            removed = now;
        }
    }

    #[test]
    fn whom_no_admin_ever_named_gets_nowhere(steps in steps()) {
        // Hosts 8 and 9 are strangers that sign each other in.
        let (start, all) = played(&steps);
        let mut roster = start;
        roster.merge(all);
        let before = said(&roster);
        let latest = roster.statements().last().unwrap().id();
        let first = made_up(&roster, 8, accept(9, true), &[latest]);
        let second = made_up(&roster, 9, remove(1), &[first.id()]);
        let third = made_up(&roster, 8, Action::Rekey { epoch: roster.current().0 + 1, secret: SecretHash::of(&secret(9)) }, &[latest]);
        prop_assert_eq!(roster.merge([third, second, first]).added, 0);
        prop_assert_eq!(said(&roster), before);
    }
}

#[test]
fn a_library_begins_open_to_whoever_proves_the_secret() {
    let roster = founded();
    assert_eq!(roster.membership(), Membership::Secret);
    assert_eq!((roster.standing(id(1)), roster.standing(id(2))), (ADMIN, MEMBER));
    assert_eq!(roster.current(), (0, SecretHash::of(&secret(0))));
    assert!(!roster.is_rekey_due());
    assert_eq!(roster.accepted().collect::<Vec<_>>(), [id(1)]);
}

#[test]
fn once_listed_a_new_id_waits_until_it_is_accepted() {
    let mut roster = founded();
    let signed = roster.list(&key(1), &[id(1), id(2)]).unwrap();
    assert_eq!(signed.len(), 2, "the founder is accepted already");
    assert_eq!((roster.standing(id(2)), roster.standing(id(3))), (MEMBER, Standing::Pending));
    roster.accept(&key(1), id(3), false).unwrap();
    assert_eq!(roster.standing(id(3)), MEMBER);
    assert!(roster.list(&key(1), &[id(2)]).unwrap().is_empty(), "it is listed already");
}

#[test]
fn the_first_removal_keeps_who_stays_and_asks_for_a_new_secret() {
    let mut roster = founded();
    roster.remove(&key(1), &[id(3)], &[id(1), id(2), id(3)]).unwrap();
    assert_eq!(roster.membership(), Membership::Listed);
    assert_eq!((roster.standing(id(2)), roster.standing(id(3))), (MEMBER, Standing::Removed));
    // A second id that it made earlier is not among the confirmed.
    assert_eq!(roster.standing(id(4)), Standing::Pending);
    assert!(roster.is_rekey_due());
    roster.rekey(&key(1), &secret(1)).unwrap();
    assert!(!roster.is_rekey_due());
    assert_eq!(roster.current(), (1, SecretHash::of(&secret(1))));
    assert!(roster.is_secret_of(0, &secret(0)) && roster.is_secret_of(1, &secret(1)));
    assert!(!roster.is_secret_of(0, &secret(1)) && !roster.is_secret_of(2, &secret(2)));
    assert_eq!(roster.accept(&key(1), id(3), false), Err(SignError::Removed { host: id(3) }));
    assert_eq!(roster.remove(&key(1), &[id(3)], &[]), Err(SignError::Removed { host: id(3) }));
}

#[test]
fn removals_made_apart_all_hold_and_the_secrets_made_apart_are_replaced() {
    let start = with_admins();
    let (mut one, mut two) = (start.clone(), start);
    one.remove(&key(1), &[id(3)], &[id(2), id(4)]).unwrap();
    one.rekey(&key(1), &secret(1)).unwrap();
    two.remove(&key(2), &[id(4)], &[id(1), id(3)]).unwrap();
    two.rekey(&key(2), &secret(2)).unwrap();
    one.merge(two.statements().cloned());
    two.merge(one.statements().cloned());
    assert_eq!(said(&one), said(&two));
    assert_eq!((one.standing(id(3)), one.standing(id(4))), (Standing::Removed, Standing::Removed));
    let lower = SecretHash::of(&secret(1)).min(SecretHash::of(&secret(2)));
    assert_eq!(one.current(), (1, lower));
    assert!(one.is_secret_of(1, &secret(1)) && one.is_secret_of(1, &secret(2)), "both, for the hand-over");
    // Each secret went to the host that the other admin removed.
    assert!(one.is_rekey_due());
    one.rekey(&key(1), &secret(3)).unwrap();
    assert!(!one.is_rekey_due());
    assert_eq!(one.current(), (2, SecretHash::of(&secret(3))));
}

#[test]
fn what_a_removed_admin_signed_unseen_is_void_and_what_rests_on_it() {
    let start = with_admins();
    let (mut thief, mut owner) = (start.clone(), start);
    let seen = thief.accept(&key(2), id(5), false).unwrap();
    owner.merge([seen]);
    owner.remove(&key(1), &[id(2)], &[]).unwrap();
    thief.accept(&key(2), id(6), true).unwrap();
    thief.accept(&key(6), id(7), true).unwrap();
    thief.rekey(&key(6), &secret(6)).unwrap();
    owner.merge(thief.statements().cloned());
    assert_eq!(owner.standing(id(5)), MEMBER, "its remover had seen it");
    for number in [6, 7] {
        assert_eq!(owner.standing(id(number)), Standing::Pending, "{number}");
    }
    assert_eq!(owner.current().0, 0);
    assert!(!owner.is_secret_of(1, &secret(6)));
    // Whoever accepted 5 is of no matter once somebody who stays does it again; the same goes for 6.
    owner.accept(&key(1), id(6), false).unwrap();
    assert_eq!(owner.standing(id(6)), MEMBER);
}

#[test]
fn a_removed_admin_that_signs_on_can_only_remove() {
    let mut roster = with_admins();
    let before: Vec<_> = roster.statements().map(Statement::id).collect();
    roster.remove(&key(1), &[id(3)], &[]).unwrap();
    let removal = roster.statements().last().unwrap().id();
    let as_before = [*before.last().unwrap()];
    let knowing = made_up(&roster, 3, remove(4), &[removal]);
    assert_eq!(roster.merge([knowing]).void, 1, "it had seen its own removal");
    let statements = [
        made_up(&roster, 3, accept(5, true), &as_before),
        made_up(&roster, 3, Action::Rekey { epoch: 1, secret: SecretHash::of(&secret(3)) }, &as_before),
        made_up(&roster, 3, accept(3, true), &as_before),
    ];
    let before = (roster.accepted().collect::<Vec<_>>(), roster.current());
    roster.merge(statements);
    assert_eq!((roster.accepted().collect::<Vec<_>>(), roster.current()), before);
    assert_eq!(roster.standing(id(3)), Standing::Removed);
    // Not told from one made in time: it locks out, and lets nobody in.
    let backdated = made_up(&roster, 3, remove(4), &as_before);
    roster.merge([backdated]);
    assert_eq!(roster.standing(id(4)), Standing::Removed);
}

#[test]
fn two_admins_that_remove_each_other_are_both_removed() {
    let mut start = founded();
    start.accept(&key(1), id(2), true).unwrap();
    start.accept(&key(1), id(4), false).unwrap();
    let (mut one, mut two) = (start.clone(), start);
    one.remove(&key(1), &[id(2)], &[]).unwrap();
    two.remove(&key(2), &[id(1)], &[]).unwrap();
    one.merge(two.statements().cloned());
    two.merge(one.statements().cloned());
    assert_eq!(said(&one), said(&two));
    assert_eq!((one.standing(id(1)), one.standing(id(2))), (Standing::Removed, Standing::Removed));
    assert_eq!(one.standing(id(4)), MEMBER);
    assert_eq!(one.admins().count(), 0);
    let error = one.accept(&key(4), id(5), false).unwrap_err();
    assert!(error.to_string().contains("can-sync init"), "{error}");
}

#[test]
fn the_last_admin_is_not_removed_and_others_do_not_sign() {
    let mut roster = founded();
    assert_eq!(roster.remove(&key(1), &[id(1)], &[]), Err(SignError::LastAdmin { host: id(1) }));
    assert_eq!(roster.remove(&key(1), &[id(2), id(1)], &[]), Err(SignError::LastAdmin { host: id(2) }));
    assert_eq!(roster.accept(&key(2), id(2), true), Err(SignError::NotAdmin { admins: vec![id(1)] }));
    roster.accept(&key(1), id(2), true).unwrap();
    roster.remove(&key(1), &[id(1)], &[]).unwrap();
    assert_eq!((roster.standing(id(1)), roster.standing(id(2))), (Standing::Removed, ADMIN));
}

#[test]
fn a_member_that_is_no_admin_and_an_admin_that_leaves_out_why_it_is_one_change_nothing() {
    let mut roster = with_admins();
    let latest = [roster.statements().last().unwrap().id()];
    let birth = [roster.birth().id()];
    let before = said(&roster);
    let rekey = Action::Rekey { epoch: 1, secret: SecretHash::of(&secret(9)) };
    for action in [remove(1), accept(9, true), accept(4, true), Action::Listed, rekey] {
        let by_member = made_up(&roster, 4, action, &latest);
        let by_admin_of_later = made_up(&roster, 2, action, &birth);
        let merged = roster.merge([by_member, by_admin_of_later]);
        assert_eq!((merged.void, merged.added), (2, 0), "{action:?}");
    }
    assert_eq!(said(&roster), before);
}

#[test]
fn an_epoch_is_never_skipped() {
    let mut roster = with_admins();
    let latest = [roster.statements().last().unwrap().id()];
    for epoch in [0, 2, u64::MAX] {
        let skipping = made_up(&roster, 2, Action::Rekey { epoch, secret: SecretHash::of(&secret(2)) }, &latest);
        assert_eq!(roster.merge([skipping]).void, 1, "{epoch}");
    }
    let mut last = Roster::found(&key(1), "mirror", u64::MAX, &secret(0), [7; 16]);
    assert!(last.rekey(&key(1), &secret(1)).is_err());
}

#[test]
fn statements_of_another_library_or_birth_have_no_effect() {
    let mut roster = founded();
    let mut other = Roster::found(&key(1), "mirror", 0, &secret(0), [8; 16]);
    other.accept(&key(1), id(2), true).unwrap();
    let statements: Vec<_> = other.statements().cloned().collect();
    assert_eq!(roster.merge(statements), Merged { void: 2, ..Merged::default() });
    assert_eq!(roster.standing(id(2)), MEMBER);
    assert!(Roster::from_birth("photos", roster.birth().clone()).is_err());
    let no_birth = other.statements().last().unwrap().clone();
    assert!(Roster::from_birth("mirror", no_birth).is_err());
}

#[test]
fn an_unused_birth_gives_way_and_two_used_ones_do_not() {
    let one = founded();
    let two = Roster::found(&key(2), "mirror", 0, &secret(0), [8; 16]);
    assert_ne!(one.gives_way_to(&two).unwrap(), two.gives_way_to(&one).unwrap());
    assert!(!one.gives_way_to(&one.clone()).unwrap());
    let (mut used, mut used_too) = (one.clone(), two.clone());
    used.accept(&key(1), id(3), false).unwrap();
    assert!(two.gives_way_to(&used).unwrap() && !used.gives_way_to(&two).unwrap());
    used_too.accept(&key(2), id(3), false).unwrap();
    assert_eq!(used.gives_way_to(&used_too), Err(TwoBirths { ours: id(1), theirs: id(2) }));
}

#[test]
fn a_full_history_still_removes_until_it_is_quite_full() {
    let mut roster = with_admins();
    let birth = roster.birth().id();
    let room = limits::STATEMENTS - limits::STATEMENTS_RESERVED;
    let host = |number: usize| HostId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes());
    let fill = |roster: &Roster, action: fn(HostId) -> Action, count: usize| -> Vec<_> {
        (0..count).map(|number| made_up(roster, 1, action(host(number)), &[birth])).collect()
    };
    let accepts = fill(&roster, |host| Action::Accept { host, admin: false }, room);
    let merged = roster.merge(accepts);
    assert_eq!((merged.added, merged.full), (room - 4, 4));
    assert_eq!(roster.accept(&key(1), id(9), false), Err(SignError::Full));
    // More than a statement names came apart from each other; the one that makes its signer an admin is among them.
    roster.remove(&key(2), &[id(3)], &[]).unwrap();
    assert_eq!(roster.standing(id(3)), Standing::Removed);
    roster.rekey(&key(2), &secret(2)).unwrap();
    let removals = fill(&roster, |host| Action::Remove { host }, limits::STATEMENTS_RESERVED);
    let merged = roster.merge(removals);
    assert_eq!((merged.added, merged.full), (limits::STATEMENTS_RESERVED - 2, 2));
    assert_eq!(roster.remove(&key(1), &[id(4)], &[]), Err(SignError::Full));
    let bytes: usize = roster.statements().map(|statement| statement.as_bytes().len()).sum();
    assert!(bytes <= limits::STATEMENTS * limits::STATEMENT_BYTES);
}

#[test]
fn what_comes_too_early_waits_but_not_without_bound() {
    let mut whole = founded();
    for number in 0..=limits::STATEMENTS_WAITING {
        let host = HostId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes());
        whole.accept(&key(1), host, false).unwrap();
    }
    let mut roster = founded();
    let statements: Vec<_> = whole.statements().cloned().collect();
    // The birth is known, and what comes second is missing.
    let merged = roster.merge(statements[2..].iter().cloned());
    assert_eq!((merged.added, merged.waiting), (0, limits::STATEMENTS_WAITING));
    assert_eq!(roster.merge([statements[1].clone()]).added, limits::STATEMENTS_WAITING + 1);
    let merged = roster.merge(statements.iter().cloned());
    assert_eq!(merged.waiting, 0);
    assert_eq!(roster.fingerprint(), whole.fingerprint());
}
