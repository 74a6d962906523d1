// SPDX-License-Identifier: MIT OR Apache-2.0
//! Curves of distributions: number of values, or share of values, over the time.

use crate::page::plot::{Lines, Series, Shape};
use hil::figures::{Figures, Row};

/// Places of a row's buckets in nanoseconds, with their counts.
fn places<'a>(row: &'a Row, figures: &Figures) -> impl Iterator<Item = (f64, f64)> + 'a {
    let tick = 1e9 / figures.machine.hz as f64;
    let buckets = row.buckets.iter();
    // The axis is logarithmic: a time below half a tick is drawn there.
    buckets
        .map(move |&(low, high, count)| (((low + high) as f64 / 2.0).max(0.5) * tick, count as f64))
}

/// The number of values at each time.
pub fn counts(row: &Row, figures: &Figures) -> Vec<(f64, f64)> {
    places(row, figures).collect()
}

/// The share of values up to each time, percent.
pub fn shares(row: &Row, figures: &Figures) -> Vec<(f64, f64)> {
    let mut sum = 0.0;
    let all = row.count as f64;
    let share = |(place, count)| {
        sum += count;
        (place, sum / all * 100.0)
    };
    places(row, figures).map(share).collect()
}

pub fn distribution(title: &str, series: Vec<Series>) -> String {
    lines(title, "number of values over ns", true, series)
}

pub fn cumulative(title: &str, series: Vec<Series>) -> String {
    lines(title, "percent of values up to ns", false, series)
}

fn lines(title: &str, x: &str, logarithmic: bool, series: Vec<Series>) -> String {
    let places = || series.iter().flat_map(|series| series.points.iter().map(|point| point.0));
    let low = places().fold(f64::MAX, f64::min).log10().ceil() as i32;
    let high = places().fold(1.0, f64::max).log10().floor() as i32;
    let decade = |power: i32| {
        let value = 10_f64.powi(power);
        let label = match power {
            9.. => format!("{} s", 10_f64.powi(power - 9)),
            6.. => format!("{} ms", 10_f64.powi(power - 6)),
            3.. => format!("{} µs", 10_f64.powi(power - 3)),
            _ => format!("{value} ns"),
        };
        (value, label)
    };
    Lines {
        title: title.into(),
        x: x.into(),
        marks: (low..=high).map(decade).collect(),
        logarithmic,
        shape: if logarithmic { Shape::Dots } else { Shape::Line },
        series,
    }
    .svg()
}
