//! Circles of several hosts that tell each other.

use proptest::prelude::*;

use super::super::HostKey;
use super::super::LibrarySecret;
use super::super::pairing::Handover;
use super::*;
use crate::asset::HostId;
use crate::limits::membership as limits;

const MEMBER: Standing = Standing::Member { admin: false };

fn key(seed: u8) -> HostKey {
    HostKey::from_seed(&[seed; 32])
}

fn id(seed: u8) -> HostId {
    key(seed).id()
}

fn secret(seed: u8) -> LibrarySecret {
    LibrarySecret::from_bytes([seed; 32])
}

fn circle(seed: u8) -> Circle {
    Circle::new(id(seed), "mirror", secret(0))
}

/// Has one host hear another, as over a connection.
fn hear(to: (&mut Circle, u8), from: (&Circle, u8)) -> Result<Taken, TakeError> {
    let mut drawn = 0;
    let random = || {
        drawn += 1;
        [drawn; 32]
    };
    let told = from.0.succession_for(id(to.1), random);
    to.0.take(id(from.1), told, &key(to.1))
}

#[test]
fn without_a_statement_whoever_proves_the_secret_is_a_member() {
    let circle = circle(1);
    assert_eq!((circle.membership(), circle.standing(id(7)), circle.epoch()), (Membership::Secret, MEMBER, 0));
    assert!(circle.may_sign() && circle.fingerprint().is_none() && circle.older().next().is_none());
    assert_eq!(circle.succession_for(id(7), || [1; 32]), Succession::default());
}

#[test]
fn a_removal_reaches_all_that_stay_and_nobody_else() {
    let (mut a, mut b, mut c) = (circle(1), circle(2), circle(3));
    a.remove(&key(1), id(9), &[], &[id(2), id(3)], [1; 16], secret(1)).unwrap();
    assert_eq!((a.epoch(), a.membership()), (1, Membership::Listed));
    assert!(!a.is_behind() && a.older().map(|(epoch, _)| epoch).eq([0]));
    let taken = hear((&mut b, 2), (&a, 1)).unwrap();
    assert_eq!(taken, Taken { members: true, secret: true });
    // The third hears it of the second.
    assert!(hear((&mut c, 3), (&b, 2)).unwrap().secret);
    assert_eq!((c.epoch(), c.secret().expose(), c.fingerprint()), (1, &[1; 32], a.fingerprint()));
    assert_eq!(hear((&mut c, 3), (&a, 1)), Ok(Taken::default()), "told twice changes nothing");
    assert!(!b.may_sign() && b.standing(id(9)) == Standing::Removed && b.standing(id(8)) == Standing::Pending);
    for stranger in [8, 9] {
        assert_eq!(b.succession_for(id(stranger), || [1; 32]), Succession::default(), "{stranger}");
        let told = Succession { statements: a.roster().unwrap().statements().cloned().collect(), secrets: Vec::new() };
        assert_eq!(b.take(id(stranger), told, &key(2)), Err(TakeError::Stranger(id(stranger))));
    }
}

#[test]
fn who_leaves_with_the_removed_one_is_removed_too_where_it_was_accepted() {
    let mut a = circle(1);
    a.accept(&key(1), id(3), true, [1; 16]).unwrap();
    let itself = a.remove(&key(1), id(9), &[id(1)], &[], [1; 16], secret(1));
    assert_eq!((itself, a.epoch()), (Err(ChangeError::Itself), 0));
    a.remove(&key(1), id(9), &[id(3), id(4)], &[id(2)], [1; 16], secret(1)).unwrap();
    for (host, standing) in [(2, MEMBER), (3, Standing::Removed), (4, Standing::Pending), (9, Standing::Removed)] {
        assert_eq!(a.standing(id(host)), standing, "{host}");
        let told = a.succession_for(id(host), || [1; 32]);
        assert_eq!(told == Succession::default(), standing != MEMBER, "{host}");
    }
    // In a listed library as well.
    a.remove(&key(1), id(8), &[id(2)], &[], [1; 16], secret(2)).unwrap();
    assert_eq!((a.standing(id(2)), a.epoch()), (Standing::Removed, 2));
}

#[test]
fn two_removals_at_once_come_together_and_leave_both_removed_without_a_secret() {
    let mut a = circle(1);
    a.accept(&key(1), id(2), true, [1; 16]).unwrap();
    let mut b = circle(2);
    hear((&mut b, 2), (&a, 1)).unwrap();
    a.remove(&key(1), id(8), &[], &[id(2), id(3), id(9)], [1; 16], secret(11)).unwrap();
    b.remove(&key(2), id(9), &[], &[id(1), id(3), id(8)], [1; 16], secret(12)).unwrap();
    hear((&mut a, 1), (&b, 2)).unwrap();
    hear((&mut b, 2), (&a, 1)).unwrap();
    assert_eq!((a.fingerprint(), a.epoch()), (b.fingerprint(), b.epoch()));
    let lower = [secret(11), secret(12)].into_iter().min_by_key(SecretHash::of).unwrap();
    assert_eq!((a.secret().expose(), b.secret().expose()), (lower.expose(), lower.expose()));
    assert!(a.older().any(|(epoch, _)| epoch == 1), "both are kept for the hand-over");
    for removed in [8, 9] {
        assert_eq!(a.standing(id(removed)), Standing::Removed);
    }
    // Each secret was handed to the host that the other removed, so there is another one.
    assert!(a.renew_if_due(&key(1), secret(13)).unwrap() && !a.renew_if_due(&key(1), secret(14)).unwrap());
    hear((&mut b, 2), (&a, 1)).unwrap();
    assert_eq!((b.epoch(), b.secret().expose()), (2, &[13; 32]));
}

#[test]
fn a_statement_without_its_secret_is_behind_until_somebody_hands_it_over() {
    let (mut a, mut b) = (circle(1), circle(2));
    a.remove(&key(1), id(9), &[], &[id(2)], [1; 16], secret(1)).unwrap();
    let statements = a.roster().unwrap().statements().cloned().collect();
    let taken = b.take(id(1), Succession { statements, secrets: Vec::new() }, &key(2)).unwrap();
    assert_eq!(taken, Taken { members: true, secret: false });
    assert!(b.is_behind() && b.epoch() == 0);
    // A secret that no admin has stated is none, whoever hands it over.
    let forged = SealedSecret::seal(&secret(66), "mirror", 1, id(2), [3; 32]).unwrap();
    let told = Succession { statements: Vec::new(), secrets: vec![(1, forged)] };
    assert_eq!(b.take(id(1), told, &key(2)), Ok(Taken::default()));
    assert!(hear((&mut b, 2), (&a, 1)).unwrap().secret && !b.is_behind());
}

#[test]
fn a_history_of_another_library_or_against_this_host_is_not_taken() {
    let mut b = circle(2);
    // Founded with a secret that this host does not know.
    let mut other = Circle::new(id(1), "mirror", secret(50));
    other.accept(&key(1), id(2), false, [1; 16]).unwrap();
    assert_eq!(hear((&mut b, 2), (&other, 1)), Err(TakeError::Foreign(id(1))));
    // A member that makes itself the founder of a library without this host.
    let mut thief = circle(3);
    thief.remove(&key(3), id(2), &[], &[], [1; 16], secret(51)).unwrap();
    let statements = thief.roster().unwrap().statements().cloned().collect();
    let told = Succession { statements, secrets: Vec::new() };
    assert_eq!(b.take(id(3), told, &key(2)), Err(TakeError::Excluded(id(3))));
    assert!(b.roster().is_none());
    // Two that were both used stay apart, and say so.
    let (mut one, mut two) = (circle(4), circle(5));
    one.accept(&key(4), id(6), false, [1; 16]).unwrap();
    two.accept(&key(5), id(6), false, [2; 16]).unwrap();
    assert!(matches!(hear((&mut one, 4), (&two, 5)), Err(TakeError::TwoBirths(_))));
}

#[test]
fn nobody_removes_itself_and_only_admins_sign() {
    let (mut a, mut b) = (circle(1), circle(2));
    assert_eq!(a.remove(&key(1), id(1), &[], &[], [1; 16], secret(1)), Err(ChangeError::Itself));
    assert!(a.roster().is_none(), "nothing was founded by a change that was not made");
    a.accept(&key(1), id(2), false, [1; 16]).unwrap();
    hear((&mut b, 2), (&a, 1)).unwrap();
    let denied = ChangeError::Sign(SignError::NotAdmin { admins: vec![id(1)] });
    assert_eq!(b.accept(&key(2), id(3), false, [1; 16]), Err(denied.clone()));
    assert_eq!(b.remove(&key(2), id(3), &[], &[], [1; 16], secret(1)), Err(denied));
}

#[test]
fn what_pairing_hands_over_is_kept_whole() {
    let mut a = circle(1);
    a.remove(&key(1), id(9), &[], &[id(2)], [1; 16], secret(1)).unwrap();
    a.accept(&key(1), id(3), false, [1; 16]).unwrap();
    let handover = Handover {
        device: "desk".to_owned(),
        library: "mirror".to_owned(),
        epoch: a.epoch(),
        secret: a.secret().clone(),
        statements: a.roster().unwrap().statements().cloned().collect(),
    };
    let c = Circle::paired(id(3), handover.clone()).unwrap();
    assert!(c.is_paired() && c.epoch() == 1 && c.holds(&secret(1)) && !c.holds(&secret(0)));
    let kept = Circle::decode(id(3), &c.encode()).unwrap();
    assert!(kept.is_same(&c) && kept.is_paired());
    assert!(Circle::paired(id(3), Handover { statements: Vec::new(), ..handover }).is_err());
    let bytes = c.encode();
    for end in 0..bytes.len() {
        assert!(Circle::decode(id(3), &bytes[..end]).is_err(), "{end}");
    }
    assert!(Circle::decode(id(3), &[bytes.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn only_so_many_secrets_are_handed_over() {
    let mut a = circle(1);
    for number in 0..20 {
        a.remove(&key(1), id(100 + number), &[], &[id(2)], [1; 16], secret(30 + number)).unwrap();
    }
    assert_eq!(a.succession_for(id(2), || [1; 32]).secrets.len(), limits::SECRETS_HANDED);
    assert_eq!(a.older().count(), limits::SECRETS_HANDED);
    let kept = Circle::decode(id(1), &a.encode()).unwrap();
    assert_eq!((kept.epoch(), kept.secret().expose()), (20, a.secret().expose()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever admins do while they are apart, those that stay end with one secret, and the removed never get it.
    #[test]
    fn those_that_stay_end_with_one_secret(
        steps in proptest::collection::vec((0..3_u8, 0..3_u8, 10..14_u8), 0..20)
    ) {
        let mut first = circle(0);
        first.accept(&key(0), id(1), true, [1; 16]).unwrap();
        first.accept(&key(0), id(2), true, [1; 16]).unwrap();
        let mut circles = vec![first, circle(1), circle(2)];
        for seed in 1..3_u8 {
            let from = circles[0].clone();
            hear((&mut circles[usize::from(seed)], seed), (&from, 0)).unwrap();
        }
        let mut made = 100;
        let mut removed = std::collections::BTreeSet::new();
        for (who, other, victim) in steps {
            let at = usize::from(who);
            made += 1;
            if who == other {
                let staying = [id(0), id(1), id(2)];
                if circles[at].remove(&key(who), id(victim), &[], &staying, [1; 16], secret(made)).is_ok() {
                    removed.insert(victim);
                }
            } else {
                let from = circles[usize::from(other)].clone();
                hear((&mut circles[at], who), (&from, other)).unwrap();
                made += 1;
                circles[at].renew_if_due(&key(who), secret(made)).unwrap();
            }
        }
        // All meet, again and again, until nothing changes.
        for _ in 0..4 {
            for who in 0..3_u8 {
                for other in 0..3_u8 {
                    if who != other {
                        let from = circles[usize::from(other)].clone();
                        hear((&mut circles[usize::from(who)], who), (&from, other)).unwrap();
                        made += 1;
                        circles[usize::from(who)].renew_if_due(&key(who), secret(made)).unwrap();
                    }
                }
            }
        }
        let current = *circles[0].secret().expose();
        for circle in &circles {
            prop_assert_eq!(circle.secret().expose(), &current);
            prop_assert!(!circle.is_behind());
            for victim in &removed {
                prop_assert_eq!(circle.standing(id(*victim)), Standing::Removed);
                prop_assert_eq!(circle.succession_for(id(*victim), || [1; 32]), Succession::default());
            }
        }
    }
}

#[test]
fn a_removal_counts_although_there_is_no_room_for_a_new_secret() {
    let mut a = circle(1);
    a.list(&key(1), &[id(2), id(3)], [1; 16]).unwrap();
    let mut whole = a.roster().unwrap().clone();
    let known = whole.statements().len();
    // All the room that removals have but for one statement.
    let hosts = (known..limits::STATEMENTS - 1).map(|n| HostId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes()));
    let hosts: Vec<HostId> = hosts.collect();
    assert!(hosts.iter().all(|host| whole.remove(&key(1), &[*host], &[]).is_ok()));
    let told = Succession { statements: whole.statements().cloned().collect(), secrets: Vec::new() };
    a.take(id(2), told, &key(1)).unwrap();
    let (epoch, mut b) = (a.epoch(), circle(2));
    a.remove(&key(1), id(3), &[], &[], [1; 16], secret(1)).unwrap();
    assert_eq!((a.standing(id(3)), a.epoch(), a.is_renewal_due()), (Standing::Removed, epoch, true));
    assert_eq!(a.renew_if_due(&key(1), secret(1)), Err(SignError::Full));
    hear((&mut b, 2), (&a, 1)).unwrap();
    assert_eq!(b.standing(id(3)), Standing::Removed);
}
