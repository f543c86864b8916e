//! The visible path: which messages, from the first to the head, a reader sees.
//!
//! Messages are numbered in file order and never move. The path is a list of ranges of those numbers, in order;
//! a revert cuts it, an append lengthens it. It is small: one range for a session that was never reverted.

/// Ranges of message numbers, both ends included, strictly ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    ranges: Vec<(u64, u64)>,
}

impl Path {
    /// The path of messages 1 to `count`.
    pub fn first(count: u64) -> Self {
        Self { ranges: if count == 0 { Vec::new() } else { vec![(1, count)] } }
    }

    /// The path over `ranges`, or `None` where they are not strictly ascending from 1.
    pub fn new(ranges: Vec<(u64, u64)>) -> Option<Self> {
        let mut path = Self::default();
        for (from, to) in ranges {
            if from > to || from <= path.head() {
                return None;
            }
            path.extend(from, to);
        }
        Some(path)
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// The last message on the path, or 0 where it is empty.
    pub fn head(&self) -> u64 {
        self.ranges.last().map_or(0, |range| range.1)
    }

    /// How many messages are on the path.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(from, to)| to - from + 1).sum()
    }

    /// Whether `seq` is on the path.
    pub fn contains(&self, seq: u64) -> bool {
        self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&seq))
    }

    /// Adds `from` to `to`, which must lie behind the head; nothing where `to` lies before `from`.
    pub fn extend(&mut self, from: u64, to: u64) {
        match self.ranges.last_mut() {
            _ if to < from => {}
            Some(last) if last.1 + 1 == from => last.1 = to,
            _ => self.ranges.push((from, to)),
        }
    }

    /// Cuts everything behind `seq`. `false`, and nothing changed, where `seq` is neither 0 nor on the path.
    pub fn cut(&mut self, seq: u64) -> bool {
        if seq != 0 && !self.contains(seq) {
            return false;
        }
        self.ranges.retain(|(from, _)| *from <= seq);
        if let Some(last) = self.ranges.last_mut() {
            last.1 = last.1.min(seq);
        }
        true
    }

    /// The message on the path right before `seq`, or 0.
    pub fn before(&self, seq: u64) -> u64 {
        self.ranges
            .iter()
            .filter(|(from, _)| *from < seq)
            .map(|(_, to)| (*to).min(seq - 1))
            .max()
            .unwrap_or(0)
    }

    /// The last `count` messages, as ranges.
    pub fn last(&self, count: u64) -> Vec<(u64, u64)> {
        let mut rest = count;
        let mut ranges = Vec::new();
        for (from, to) in self.ranges.iter().rev() {
            if rest == 0 {
                break;
            }
            let taken = rest.min(to - from + 1);
            ranges.push((to - taken + 1, *to));
            rest -= taken;
        }
        ranges.reverse();
        ranges
    }

    /// The first `count` messages whose number is at least `seq`, as ranges.
    pub fn from(&self, seq: u64, count: u64) -> Vec<(u64, u64)> {
        let mut rest = count;
        let mut ranges = Vec::new();
        for (from, to) in &self.ranges {
            let from = (*from).max(seq);
            if rest == 0 || from > *to {
                continue;
            }
            let taken = rest.min(to - from + 1);
            ranges.push((from, from + taken - 1));
            rest -= taken;
        }
        ranges
    }

    /// The ranges of `self` behind the part that it shares with `other`, and the last shared message (0: none).
    pub fn since(&self, other: &Self) -> (u64, Vec<(u64, u64)>) {
        let mut shared = 0;
        for (mine, theirs) in self.ranges.iter().zip(&other.ranges) {
            if mine.0 != theirs.0 {
                break;
            }
            shared = mine.1.min(theirs.1);
            if mine.1 != theirs.1 {
                break;
            }
        }
        (shared, self.from(shared + 1, u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(ranges: &[(u64, u64)]) -> Path {
        Path::new(ranges.to_vec()).unwrap()
    }

    #[test]
    fn ranges_that_do_not_ascend_are_no_path() {
        for bad in [vec![(0, 3)], vec![(3, 2)], vec![(1, 3), (3, 4)], vec![(5, 6), (1, 2)]] {
            assert_eq!(Path::new(bad), None);
        }
        assert_eq!(path(&[(1, 2), (3, 4)]), Path::first(4));
    }

    #[test]
    fn a_range_that_touches_the_head_lengthens_the_last_one_and_an_empty_one_changes_nothing() {
        let mut path = path(&[(1, 3)]);
        path.extend(4, 3);
        path.extend(9, 5);
        assert_eq!(path.ranges(), [(1, 3)]);
        path.extend(4, 4);
        path.extend(6, 7);
        assert_eq!(path.ranges(), [(1, 4), (6, 7)]);
        assert_eq!((path.head(), path.len(), Path::default().head()), (7, 6, 0));
        assert_eq!((path.contains(4), path.contains(5), path.contains(6)), (true, false, true));
        assert_eq!((Path::first(0), Path::first(1).ranges()), (Path::default(), &[(1, 1)][..]));
    }

    #[test]
    fn a_cut_keeps_what_is_before_it_and_refuses_what_is_not_there() {
        let mut cut = path(&[(1, 3), (7, 9)]);
        assert!(!cut.cut(5));
        assert!(cut.cut(8));
        assert_eq!(cut, path(&[(1, 3), (7, 8)]));
        assert!(cut.cut(0));
        assert_eq!(cut, Path::default());
    }

    #[test]
    fn pages_go_over_gaps() {
        let path = path(&[(1, 3), (7, 9), (12, 12)]);
        assert_eq!(path.len(), 7);
        assert_eq!(path.last(3), [(8, 9), (12, 12)]);
        assert_eq!(path.from(3, 3), [(3, 3), (7, 8)]);
        assert_eq!(path.from(4, u64::MAX), [(7, 9), (12, 12)]);
        assert_eq!((path.before(7), path.before(8), path.before(1)), (3, 7, 0));
    }

    #[test]
    fn two_paths_share_their_beginning() {
        let (old, new) = (path(&[(1, 5), (9, 10)]), path(&[(1, 3), (6, 8)]));
        assert_eq!(old.since(&new), (3, vec![(4, 5), (9, 10)]));
        assert_eq!(new.since(&new).1, []);
        assert_eq!(path(&[(1, 9)]).since(&path(&[(1, 5)])), (5, vec![(6, 9)]));
    }
}
