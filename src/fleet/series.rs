//! A short history of one figure, with gaps where nothing was known.

use std::collections::VecDeque;

use jiff::Timestamp;

/// At most this many points are kept: ten minutes at one every two seconds.
pub const KEPT: usize = 300;

/// One point; `None` is a gap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub at: Timestamp,
    pub value: Option<f64>,
}

/// The newest points of one figure, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Series {
    points: VecDeque<Point>,
}

impl Series {
    /// Adds a value.
    pub fn push(&mut self, at: Timestamp, value: f64) {
        self.add(Point { at, value: Some(value) });
    }

    /// Says that nothing was known then; repeated gaps count once a time.
    pub fn mark_gap(&mut self, at: Timestamp) {
        self.add(Point { at, value: None });
    }

    fn add(&mut self, point: Point) {
        if self.points.len() == KEPT {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// Oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = &Point> {
        self.points.iter()
    }

    /// The newest value, if the newest point is not a gap.
    pub fn latest(&self) -> Option<f64> {
        self.points.back().and_then(|point| point.value)
    }

    /// Growth a second between the last two values; none across a gap.
    pub fn rate(&self) -> Option<f64> {
        let mut newest = self.points.iter().rev();
        let (last, before) = (newest.next()?, newest.next()?);
        let seconds = last.at.duration_since(before.at).as_secs_f64();
        (seconds > 0.0).then_some(())?;
        Some((last.value? - before.value?) / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_rate_is_not_taken_across_a_gap() {
        let mut series = Series::default();
        series.push(at(0), 100.0);
        series.push(at(2), 300.0);
        assert_eq!(series.rate(), Some(100.0));

        series.mark_gap(at(4));
        assert_eq!((series.rate(), series.latest()), (None, None));
        series.push(at(6), 400.0);
        assert_eq!(series.rate(), None);
    }

    #[test]
    fn only_the_newest_points_are_kept() {
        let mut series = Series::default();
        (0..1000).for_each(|second| series.push(at(second), 1.0));
        assert_eq!(series.points().count(), KEPT);
    }
}
