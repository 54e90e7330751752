//! Sets of completion indexes, as a Job's status writes them: `0-2,4`.

use std::fmt;

/// A set of indexes, as ranges that neither overlap nor touch, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// Reads a set; what is not below `limit`, or makes no sense, is left out.
    pub(super) fn parse(text: &str, limit: i32) -> Indexes {
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (i32, i32) = (first.parse().ok()?, last.parse().ok()?);
            (0 <= first && first <= last && first < limit).then(|| (first, last.min(limit - 1)))
        };
        Indexes::of(text.split(',').filter_map(range).collect())
    }

    fn of(mut ranges: Vec<(i32, i32)>) -> Indexes {
        ranges.sort_unstable();
        let mut merged: Vec<(i32, i32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Indexes(merged)
    }

    /// The set and these.
    pub(super) fn with(&self, more: impl IntoIterator<Item = i32>) -> Indexes {
        Indexes::of(self.0.iter().copied().chain(more.into_iter().map(|i| (i, i))).collect())
    }

    /// What is in either.
    pub(super) fn or(&self, other: &Indexes) -> Indexes {
        Indexes::of(self.0.iter().chain(&other.0).copied().collect())
    }

    pub(super) fn has(&self, index: i32) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= index);
        after > 0 && index <= self.0[after - 1].1
    }

    pub(super) fn total(&self) -> i32 {
        self.0.iter().fold(0, |sum, (first, last)| sum.saturating_add(last - first + 1))
    }

    /// How many are in both.
    pub(super) fn common(&self, other: &Indexes) -> i32 {
        let overlap = |a: &(i32, i32), b: &(i32, i32)| (a.1.min(b.1) - a.0.max(b.0) + 1).max(0);
        let mut rest = other.0.as_slice();
        let mut common = 0;
        for range in &self.0 {
            rest = &rest[rest.partition_point(|(_, last)| *last < range.0)..];
            common += rest.iter().take_while(|(first, _)| *first <= range.1).map(|other| overlap(range, other)).sum::<i32>();
        }
        common
    }

    /// Those below `limit` that are not in the set, in order.
    pub(super) fn missing(&self, limit: i32) -> impl Iterator<Item = i32> {
        let ends = self.0.iter().map(|(first, _)| *first).chain([limit]);
        let begins = std::iter::once(0).chain(self.0.iter().map(|(_, last)| last.saturating_add(1)));
        begins.zip(ends).flat_map(|(begin, end)| begin..end)
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_and_written() {
        let table = [("", ""), ("0-2,4,6,7", "0-2,4,6,7"), ("5,1,2,3", "1-3,5"), ("1-9", "1-4"), ("x,2,-1,4-3,0-2147483647", "0-4"), ("7", "")];
        for (text, written) in table {
            let limit = if text == "0-2,4,6,7" || text.starts_with("5,") { 10 } else { 5 };
            assert_eq!(Indexes::parse(text, limit).to_string(), written, "{text}");
        }
    }

    #[test]
    fn sets_are_reckoned_with() {
        let set = Indexes::parse("1-3,7", 10);
        assert_eq!((set.total(), set.has(0), set.has(1), set.has(3), set.has(4), set.has(7), set.has(8)), (4, false, true, true, false, true, false));
        assert_eq!(set.with([4, 0]).to_string(), "0-4,7");
        assert_eq!(set.or(&Indexes::parse("4-6", 10)).to_string(), "1-7");
        assert_eq!(set.missing(10).collect::<Vec<_>>(), [0, 4, 5, 6, 8, 9]);
        assert_eq!(Indexes::default().missing(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!((set.common(&Indexes::parse("0-2,6-9", 10)), set.common(&Indexes::default()), set.common(&set)), (3, 0, 4));
    }
}
