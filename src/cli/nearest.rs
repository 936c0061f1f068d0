//! The option that was perhaps meant.

use super::options::FLAGS;
use crate::model::dialect::Dialect;

/// The long name that is nearest to this one: what it abbreviates, or else what it becomes by no more than
/// two slips.
pub fn nearest(given: &str) -> Option<&'static str> {
    let names = FLAGS.iter().flat_map(|flag| flag.long(Dialect::Nonoverlap));
    let slips = |name: &str| match given.len() > 2 && name.starts_with(given) {
        true => 0,
        false => slips(given.as_bytes(), name.as_bytes()),
    };
    let nearest = names.copied().min_by_key(|name| slips(name))?;
    // Of a short name, two slips leave nothing.
    (slips(nearest) <= 2.min(given.len() / 3)).then_some(nearest)
}

/// How many letters are to be put in, left out, replaced, or exchanged with the next one, to make one word
/// of the other (the distance of Damerau and Levenshtein, in which no letter is touched twice).
fn slips(from: &[u8], to: &[u8]) -> usize {
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, wanted) in to.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, j) + usize::from(letter != wanted);
            let mut least = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let is_exchanged =
                i > 0 && j > 0 && from.get(i - 1) == Some(wanted) && to.get(j - 1) == Some(letter);
            if is_exchanged {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}
