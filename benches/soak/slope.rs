//! How fast something grows over time, whatever single samples do.

/// The median of the slopes between all pairs of points (Theil and Sen), in y a unit of x: a third of the samples may be off
/// without moving it. None of fewer than two points.
pub(crate) fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let pairs = points.iter().enumerate().flat_map(|(at, (x, y))| {
        points[at + 1..].iter().filter(move |(later, _)| later > x).map(move |(later, high)| (high - y) / (later - x))
    });
    let mut slopes: Vec<f64> = pairs.collect();
    slopes.sort_by(f64::total_cmp);
    let middle = slopes.len() / 2;
    match slopes.len() % 2 {
        1 => slopes.get(middle).copied(),
        _ => Some((slopes.get(middle)? + slopes.get(middle.checked_sub(1)?)?) / 2.0),
    }
}
