//! Sparklines as text: eight heights, gaps as spaces.

use crate::fleet::series::Series;

const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The newest values, at most `width` of them, scaled from zero to the greatest in sight.
pub fn values(series: &Series, width: usize) -> String {
    let mut newest: Vec<Option<f64>> = series.points().rev().take(width).map(|point| point.value).collect();
    newest.reverse();
    draw(&newest)
}

/// The growth a second between neighbours, at most `width` of them; none across a gap.
pub fn rates(series: &Series, width: usize) -> String {
    let points: Vec<_> = series.points().rev().take(width + 1).copied().collect();
    let mut rates: Vec<Option<f64>> = points
        .windows(2)
        .map(|pair| {
            let seconds = pair[0].at.duration_since(pair[1].at).as_secs_f64();
            (seconds > 0.0).then_some(())?;
            Some(((pair[0].value? - pair[1].value?) / seconds).max(0.0))
        })
        .collect();
    rates.reverse();
    draw(&rates)
}

fn draw(values: &[Option<f64>]) -> String {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let height = |value: f64| {
        if most <= 0.0 {
            return HEIGHTS[0];
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of seven, never negative")]
        let idx = (value.max(0.0) / most * 7.0).round() as usize;
        HEIGHTS[idx.min(7)]
    };
    values.iter().map(|value| value.map_or(' ', height)).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn series(values: &[Option<f64>]) -> Series {
        let mut series = Series::default();
        for (second, value) in (0..).zip(values) {
            let at = Timestamp::from_second(second).unwrap();
            match value {
                Some(value) => series.push(at, *value),
                None => series.mark_gap(at),
            }
        }
        series
    }

    #[test]
    fn values_scale_to_the_greatest_and_gaps_stay_empty() {
        assert_eq!(values(&series(&[Some(0.0), None, Some(7.0), Some(3.5)]), 10), "▁ █▅");
        assert_eq!(values(&series(&[Some(0.0), Some(0.0)]), 10), "▁▁");
        assert_eq!(values(&series(&[Some(1.0), Some(2.0), Some(3.0)]), 2), "▆█");
    }

    #[test]
    fn rates_are_growth_a_second() {
        assert_eq!(rates(&series(&[Some(0.0), Some(7.0), Some(7.0), None, Some(9.0)]), 10), "█▁  ");
    }
}
