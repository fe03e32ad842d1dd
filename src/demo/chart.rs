//! A chart of blocks: a row of columns over a number of lines, each column as high as its value.
//!
//! Decision: the eight block characters of Unicode, drawn by hand. A library for terminal interfaces would add a fifth to
//! the build of the lean demo for what is a dozen lines.

/// From an eighth to the whole of a cell.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The lines of a chart, the highest first. `top` is the value that reaches its upper edge. Where there are more values
/// than columns, a column shows the mean of its values; where there are fewer, the rest of the width stays empty.
pub(super) fn lines(values: &[f64], width: usize, height: usize, top: f64) -> Vec<String> {
    let eighths: Vec<usize> = columns(values, width).map(|value| level(value, top, height)).collect();
    let cell = |eighths: usize, below: usize| match eighths.saturating_sub(below) {
        0 => ' ',
        some => BLOCKS[some.min(8) - 1],
    };
    (0..height).rev().map(|line| eighths.iter().map(|eighths| cell(*eighths, line * 8)).collect()).collect()
}

fn columns(values: &[f64], width: usize) -> impl Iterator<Item = f64> {
    let columns = width.min(values.len());
    (0..columns).map(move |column| {
        let part = &values[column * values.len() / columns..(column + 1) * values.len() / columns];
        part.iter().sum::<f64>() / part.len() as f64
    })
}

/// The height of a column in eighths of a line. Whatever is not nothing can be seen.
fn level(value: f64, top: f64, height: usize) -> usize {
    if value <= 0.0 || top <= 0.0 {
        return 0;
    }
    let eighths = (value / top * (height * 8) as f64).round() as usize;
    eighths.clamp(1, height * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_high_as_their_values() {
        let values = [0.0, 0.01, 2.0, 4.0, 8.0, 12.0, 16.0, 99.0];
        assert_eq!(lines(&values, 20, 2, 16.0), ["     ▄██", " ▁▂▄████"]);
    }

    #[test]
    fn what_does_not_fit_is_averaged_and_nothing_is_left_out() {
        assert_eq!(lines(&[0.0, 8.0, 8.0, 8.0, 1.0, 1.0], 3, 1, 8.0), ["▄█▁"]);
        let values: Vec<f64> = (1..=1_000).map(f64::from).collect();
        assert_eq!(lines(&values, 8, 1, 937.5), ["▁▂▃▄▅▆▇█"]);
    }

    #[test]
    fn an_empty_chart_is_empty_lines() {
        assert_eq!(lines(&[], 10, 2, 0.0), ["", ""]);
        assert_eq!(lines(&[0.0, 0.0], 10, 2, 0.0), ["  ", "  "]);
    }
}
