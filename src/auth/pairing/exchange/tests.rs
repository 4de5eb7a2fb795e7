//! Devices that pair, and those that should not.

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::super::super::HostKey;
use super::super::super::LibrarySecret;
use super::super::super::members::Membership;
use super::super::super::members::Roster;
use super::super::super::members::Standing;
use super::super::Refused;
use super::super::Window;
use super::*;

fn code(text: &str) -> PairingCode {
    text.parse().unwrap()
}

fn right() -> PairingCode {
    code("legal-winner-thank-year")
}

fn inviting() -> HostKey {
    HostKey::from_seed(&[1; 32])
}

fn joining() -> HostKey {
    HostKey::from_seed(&[2; 32])
}

fn binding() -> Binding {
    Binding { inviter: inviting().id(), joiner: joining().id(), exporter: [3; 32] }
}

fn roster() -> Roster {
    Roster::found(&inviting(), "mirror", 4, &LibrarySecret::from_bytes([5; 32]), [6; 16])
}

fn handover(roster: &Roster) -> Handover {
    Handover {
        device: "desk".to_owned(),
        library: "mirror".to_owned(),
        epoch: 4,
        secret: LibrarySecret::from_bytes([5; 32]),
        statements: roster.statements().cloned().collect(),
    }
}

/// Runs an exchange in which each side has its own view of code and connection.
fn paired(
    inviter: (&PairingCode, Binding),
    joiner: (&PairingCode, Binding),
) -> (Result<Handover, PairingFailure>, Result<String, PairingFailure>) {
    let (joining, hello) = Joiner::new(joiner.0, joiner.1, "laptop", [7; 32]).unwrap();
    let (inviting, answer) = Inviter::answer(inviter.0, &inviter.1, [8; 32], &hello).unwrap();
    let (confirming, confirm) = joining.confirm(&answer).unwrap();
    match inviting.check(&confirm) {
        Ok(confirmed) => {
            let device = confirmed.device().to_owned();
            let welcome = confirmed.welcome(&handover(&roster())).unwrap();
            (confirming.finish(&welcome), Ok(device))
        }
        // An inviter without the words can only make something up.
        Err(failure) => (confirming.finish(&Welcome { tag: [0; 32], sealed: vec![0; 64] }), Err(failure)),
    }
}

#[test]
fn a_device_joins_with_the_four_words() {
    let mut roster = roster();
    let (joiner, hello) = Joiner::new(&right(), binding(), "laptop", [7; 32]).unwrap();
    let mut window = Window::open(right(), 0);
    let (inviter, answer) = Inviter::answer(window.begin(0).unwrap(), &binding(), [8; 32], &hello).unwrap();
    let (confirming, confirm) = joiner.confirm(&answer).unwrap();
    let confirmed = window.decide(10, || inviter.check(&confirm)).unwrap();
    assert_eq!((confirmed.device(), confirmed.joiner()), ("laptop", joining().id()));
    roster.accept(&inviting(), confirmed.joiner(), false).unwrap();
    let welcome = confirmed.welcome(&handover(&roster)).unwrap();

    let given = confirming.finish(&welcome).unwrap();
    assert_eq!((given.device.as_str(), given.library.as_str(), given.epoch), ("desk", "mirror", 4));
    assert_eq!(given.secret.expose(), &[5; 32]);
    let mut joined = Roster::from_birth(&given.library, given.statements[0].clone()).unwrap();
    joined.merge(given.statements);
    assert_eq!(joined.fingerprint(), roster.fingerprint());
    assert_eq!(joined.membership(), Membership::Secret);
    assert_eq!(joined.standing(joining().id()), Standing::Member { admin: false });
    assert!(joined.is_secret_of(4, &given.secret));
    assert_eq!(window.begin(2_000), Err(PairingFailure::Used));
}

#[test]
fn the_messages_are_frozen() {
    let (joiner, hello) = Joiner::new(&right(), binding(), "laptop", [7; 32]).unwrap();
    let (inviter, answer) = Inviter::answer(&right(), &binding(), [8; 32], &hello).unwrap();
    let (_, confirm) = joiner.confirm(&answer).unwrap();
    let welcome = inviter.check(&confirm).unwrap().welcome(&handover(&roster())).unwrap();
    let mut hasher = blake3::Hasher::new();
    for part in [&hello.pake[..], &answer.pake, &confirm.tag, &confirm.sealed, &welcome.tag, &welcome.sealed] {
        hasher.update(part);
    }
    assert_eq!(
        HEXLOWER.encode(hasher.finalize().as_bytes()),
        "6d1297f95a448d1cf861f0a7d1a2ee3935211c72eaa1524661eb3a78b1f408af"
    );
}

#[test]
fn only_the_same_words_connection_and_parts_pair() {
    let others = [
        ("second word", code("legal-zoo-thank-year"), binding()),
        ("third word", code("legal-winner-zoo-year"), binding()),
        ("fourth word", code("legal-winner-thank-zoo"), binding()),
        ("words in another order", code("legal-thank-winner-year"), binding()),
        ("session", right(), Binding { exporter: [4; 32], ..binding() }),
        ("inviter", right(), Binding { inviter: HostId::from_bytes([9; 32]), ..binding() }),
        ("joiner", right(), Binding { joiner: HostId::from_bytes([9; 32]), ..binding() }),
        ("parts", right(), Binding { inviter: joining().id(), joiner: inviting().id(), ..binding() }),
    ];
    let (given, device) = paired((&right(), binding()), (&right(), binding()));
    assert_eq!((given.unwrap().device, device.unwrap()), ("desk".to_owned(), "laptop".to_owned()));
    for (what, code, binding_there) in others {
        let (given, device) = paired((&right(), binding()), (&code, binding_there));
        assert_eq!(device.unwrap_err(), PairingFailure::WrongCode, "{what}");
        assert_eq!(given.unwrap_err(), PairingFailure::WrongCode, "{what}");
    }
}

#[test]
fn what_one_side_said_is_no_use_to_send_back() {
    let (joiner, hello) = Joiner::new(&right(), binding(), "laptop", [7; 32]).unwrap();
    assert!(joiner.confirm(&Answer { pake: hello.pake }).is_err());
    let (joiner, hello) = Joiner::new(&right(), binding(), "laptop", [7; 32]).unwrap();
    let (inviter, answer) = Inviter::answer(&right(), &binding(), [8; 32], &hello).unwrap();
    let (confirming, confirm) = joiner.confirm(&answer).unwrap();
    let reflected = Welcome { tag: confirm.tag, sealed: confirm.sealed.clone() };
    assert_eq!(confirming.finish(&reflected).unwrap_err(), PairingFailure::WrongCode);
    // Another exchange with the same words has other keys, so an old confirmation is worth nothing.
    let (again, _) = Inviter::answer(&right(), &binding(), [9; 32], &hello).unwrap();
    assert_eq!(again.check(&confirm).unwrap_err(), PairingFailure::WrongCode);
    assert!(inviter.check(&confirm).is_ok());
}

#[test]
fn points_that_are_none_are_refused() {
    for pake in [[0; PAKE_BYTES], [0x41; PAKE_BYTES], [0xff; PAKE_BYTES]] {
        let failure = Inviter::answer(&right(), &binding(), [8; 32], &Hello { pake }).map(drop);
        assert_eq!(failure, Err(PairingFailure::Malformed("key exchange")));
    }
    // A point of small order is taken for a message, and comes to nothing.
    let mut neutral = [0; PAKE_BYTES];
    (neutral[0], neutral[1]) = (0x42, 1);
    let (inviter, _) = Inviter::answer(&right(), &binding(), [8; 32], &Hello { pake: neutral }).unwrap();
    let confirm = Confirm { tag: [0; 32], sealed: vec![0; 20] };
    assert_eq!(inviter.check(&confirm).unwrap_err(), PairingFailure::WrongCode);
}

#[test]
fn every_failure_is_told_in_the_same_words() {
    let failures = [
        PairingFailure::WrongCode,
        PairingFailure::Malformed("name"),
        PairingFailure::Expired,
        PairingFailure::Used,
        PairingFailure::Burnt,
        PairingFailure::WornOut,
        PairingFailure::TooSoon,
    ];
    for failure in failures {
        assert_eq!(Refused::from(failure).to_string(), Refused.to_string());
    }
}

#[test]
fn secrets_are_not_shown() {
    let (joiner, hello) = Joiner::new(&right(), binding(), "laptop", [7; 32]).unwrap();
    let (inviter, answer) = Inviter::answer(&right(), &binding(), [8; 32], &hello).unwrap();
    let password = format!("{:?}", right().password());
    let shown = format!("{joiner:?} {inviter:?} {:?}", Window::open(right(), 0));
    let (confirming, confirm) = joiner.confirm(&answer).unwrap();
    let shown = format!("{shown} {confirming:?} {:?}", inviter.check(&confirm).unwrap());
    assert!(!shown.contains("winner") && !shown.contains(&password), "{shown}");
    assert!(shown.contains("PairingCode(…)") && shown.contains("Agreed(…)"), "{shown}");
}

proptest! {
    #[test]
    fn a_flipped_bit_anywhere_pairs_nobody(message in 0..4_u8, at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let flip = |bytes: &mut [u8]| bytes[at.index(bytes.len())] ^= 1 << bit;
        let flip_either = |tag: &mut [u8; 32], sealed: &mut Vec<u8>| {
            let mut both = [tag.as_slice(), sealed].concat();
            flip(&mut both);
            tag.copy_from_slice(&both[..32]);
            sealed.copy_from_slice(&both[32..]);
        };
        let (joiner, mut hello) = Joiner::new(&right(), binding(), "laptop", [7; 32]).unwrap();
        if message == 0 {
            flip(&mut hello.pake);
        }
        let Ok((inviter, mut answer)) = Inviter::answer(&right(), &binding(), [8; 32], &hello) else { return Ok(()) };
        if message == 1 {
            flip(&mut answer.pake);
        }
        let Ok((confirming, mut confirm)) = joiner.confirm(&answer) else { return Ok(()) };
        if message == 2 {
            flip_either(&mut confirm.tag, &mut confirm.sealed);
        }
        let Ok(confirmed) = inviter.check(&confirm) else {
            prop_assert!(message < 3);
            return Ok(());
        };
        prop_assert_eq!(message, 3);
        let mut welcome = confirmed.welcome(&handover(&roster())).unwrap();
        flip_either(&mut welcome.tag, &mut welcome.sealed);
        prop_assert_eq!(confirming.finish(&welcome).unwrap_err(), PairingFailure::WrongCode);
    }
}
