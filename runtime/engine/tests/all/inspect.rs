use crate::support::*;
use wharf_engine::*;

/// A guest with some bytes replaced by as many others.
fn patched(guest: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = guest_bytes(guest);
    let mut found = 0;
    for i in 0..bytes.len() - from.len() {
        if bytes[i..].starts_with(from.as_bytes()) {
            bytes[i..i + from.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} is not in {guest}");
    bytes
}

#[test]
fn what_the_guests_can_run_as() {
    for (guest, flavor, entry) in [
        ("http-p2", Flavor::P2, Entry::HttpP2),
        ("http-p3", Flavor::P3, Entry::HttpP3),
        ("probe", Flavor::P2, Entry::CliP2),
        ("probe-p3", Flavor::P3, Entry::CliP3),
    ] {
        let seen = inspect(&guest_bytes(guest)).unwrap();
        assert_eq!((seen.flavor, seen.choose(false), seen.choose(true)), (flavor, Ok(entry), Ok(entry)), "{guest}");
        assert_eq!(ENGINE.check(&seen), Ok(()), "{guest}");
        assert_eq!(program(guest).entries(), [entry]);
    }
}

#[test]
fn several_entries_are_chosen_from_by_what_is_given() {
    let seen = Inspection { exports: vec![], imports: vec![], entries: vec![Entry::HttpP2, Entry::CliP2], flavor: Flavor::P2 };
    assert_eq!((seen.choose(false), seen.choose(true)), (Ok(Entry::HttpP2), Ok(Entry::CliP2)));
    let seen = Inspection { exports: vec!["my:pkg/thing@1.0.0".into(), "run".into()], entries: vec![], ..seen };
    assert!(seen.choose(false).unwrap_err().to_string().contains("exports my:pkg/thing@1.0.0, run;"));
}

#[test]
fn unknown_imports_are_named_with_what_is_offered() {
    for (from, to, expected) in [
        ("wasi:cli/environment@0.2.", "wasi:cli/environnent@0.2.", "wasi:cli/environnent: wanted 0.2."),
        ("wasi:cli/environment@0.2.", "wasi:cli/environment@0.4.", "offered 0.2.12, 0.3.0"),
        ("wasi:filesystem/types@0.2.", "acme:filesystem/types@0.2.", "acme:filesystem/types: wanted 0.2."),
    ] {
        let seen = inspect(&patched("probe", from, to)).unwrap();
        let words = ENGINE.check(&seen).unwrap_err().to_string();
        assert!(words.starts_with("unsupported imports: ") && words.contains(expected), "{words}");
    }
}

#[test]
fn what_is_no_component_is_refused() {
    assert_eq!(inspect(b"\0asm\x01\0\0\0"), Err(InspectError::CoreModule));
    let whole = guest_bytes("probe");
    for bytes in [&b""[..], b"#!/bin/sh", &whole[..20], &whole[..whole.len() / 2]] {
        assert!(matches!(inspect(bytes), Err(InspectError::Invalid(_))), "{} bytes", bytes.len());
        assert!(matches!(compile(Flavor::P2, bytes), Err(EngineError::Compile(_))));
        assert!(matches!(ENGINE.load_source(bytes), Err(EngineError::Compile(_))));
    }
    // Damaged inside: whatever is said, nothing panics.
    for i in (8..whole.len()).step_by(whole.len() / 50) {
        let mut bytes = whole.clone();
        bytes[i] ^= 0x55;
        let _ = inspect(&bytes);
    }
}

#[test]
fn more_instances_than_the_kernel_maps_are_refused_in_words() {
    let e = Engine::new(EngineConfig { max_instances: Some(100_000_000), ..EngineConfig::default() }).err().unwrap();
    assert!(e.to_string().contains("vm.max_map_count"), "{e}");
}

#[tokio::test]
async fn an_engine_with_no_slot_left_says_why() {
    let engine = Engine::new(EngineConfig { max_instances: Some(4), ..EngineConfig::default() }).unwrap();
    let program = engine.load_source(&guest_bytes("probe")).unwrap();
    let sleepers: Vec<_> = (0..5).map(|_| start(&program, setup(Entry::CliP2, &["probe", "sleep", "3600000"]).spec)).collect();
    let mut refused = 0;
    for _ in 0..500 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        let ended: Vec<Exit> = sleepers.iter().filter_map(Command::ended).collect();
        refused = ended.len();
        if refused == 2 {
            assert!(ended.iter().all(|e| matches!(&e.reason, ExitReason::StartFailed(w) if w.contains("vm.max_map_count"))), "{ended:?}");
            return;
        }
    }
    panic!("{refused} of 5 refused by 3 slots");
}
