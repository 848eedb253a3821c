//! "Did you mean": the known key nearest to one that is not known.

use super::schema::{KeyInfo, all_keys};

/// The end of the warning about an unknown `key` of the block at `path`, with the block's own keys at hand. Empty when
/// nothing is near.
pub(super) fn hint(key: &str, path: &str, siblings: &[KeyInfo]) -> String {
    let sibling = siblings
        .iter()
        .map(|info| (distance(key, &info.key), info))
        .filter(|(distance, _)| *distance <= tolerance(key))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, info)| if path.is_empty() { info.key.clone() } else { format!("{path}.{}", info.key) });
    match sibling.or_else(|| elsewhere(key)) {
        Some(known) => format!("; did you mean `{known}`?"),
        None => String::new(),
    }
}

/// A key of this very name in another block: right word, wrong place.
fn elsewhere(key: &str) -> Option<String> {
    let mut same = all_keys()
        .into_iter()
        .map(|info| info.key)
        .filter(|path| path.rsplit('.').next().is_some_and(|leaf| leaf.eq_ignore_ascii_case(key)));
    let found = same.next()?;
    // `enabled` and its like stand in many blocks; then no guess is better than a wrong one.
    same.next().is_none().then_some(found)
}

/// How many typing errors a word of this length may hold.
fn tolerance(key: &str) -> usize {
    (key.chars().count() / 3).clamp(1, 4)
}

/// Edits (insert, remove, replace) between two words, ignoring case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits_and_ignores_case() {
        assert_eq!(distance("maxBytes", "maxbytes"), 0);
        assert_eq!(distance("bindAdress", "bindAddress"), 1);
        assert_eq!(distance("prot", "port"), 2);
        assert_eq!(distance("", "abc"), 3);
    }
}
