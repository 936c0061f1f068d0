use std::ffi::{CStr, CString};

use super::many_times;
use crate::sys::environment_with;

#[test]
fn what_is_put_aside_keeps_its_bytes_however_much_it_is() {
    // More than the arena has, in blocks that grow where they lie, and of which others follow.
    let mut kept: Vec<Vec<u64>> = vec![Vec::new(); 30];
    many_times(|dice| {
        let place = dice.below(kept.len());
        let block = &mut kept[place];
        assert!(block.iter().copied().eq(0..block.len() as u64));
        match block.len() {
            0..500 => {
                let more = block.len() as u64..(block.len() + dice.below(200)) as u64;
                block.extend(more);
            }
            _ => *block = Vec::new(),
        }
    });
}

#[test]
fn the_environment_gets_one_variable_in_place_of_any_of_the_same_name() {
    let variable = CString::new("NONOVERLAP_SLOT=7").unwrap();
    let list = environment_with(c"NONOVERLAP_SLOT=", Some(&variable));
    let (last, entries) = list.split_last().unwrap();
    assert!(last.is_null());
    // SAFETY: strings of the environment, which nothing here changes, or of `variable`.
    let texts = entries
        .iter()
        .map(|&entry| unsafe { CStr::from_ptr(entry) });
    let slots = texts.filter(|text| text.to_bytes().starts_with(b"NONOVERLAP_SLOT="));
    assert_eq!(slots.collect::<Vec<_>>(), [&*variable]);
    let others = std::env::vars_os().filter(|(name, _)| name != "NONOVERLAP_SLOT");
    assert_eq!(entries.len(), others.count() + 1);
}
