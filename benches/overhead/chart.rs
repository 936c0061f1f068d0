//! The first table as a picture: a bar for each tool, and the middle half of its rounds as a line.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::measure::Table;
use crate::tools::DEFAULT;

const ROW: i32 = 26;
const LEFT: i32 = 200;
const SCALE_WIDTH: f64 = 480.0;

pub fn draw(path: &Path, table: &Table, rounds: usize) {
    let cases = &table.cases[1..];
    let rows: Vec<_> = cases
        .iter()
        .map(|case| (&case.name, table.summary(case)))
        .collect();
    let longest = rows.iter().map(|(_, times)| times.high).fold(0.0, f64::max);
    let x = |time: f64| LEFT + (time / longest * SCALE_WIDTH) as i32;

    let size = (760, (ROW * (rows.len() as i32 + 2)) as u32);
    let image = SVGBackend::new(path, size).into_drawing_area();
    image.fill(&WHITE).unwrap();
    let font = |size: i32| ("sans-serif", size).into_font();
    let right = Pos::new(HPos::Right, VPos::Center);
    let left = Pos::new(HPos::Left, VPos::Center);
    let title = format!("Overhead over the bare command, median of {rounds} rounds, microseconds");
    image.draw(&Text::new(title, (10, 16), font(15))).unwrap();
    for (row, (name, times)) in rows.iter().enumerate() {
        let y = ROW * (row as i32 + 2) - ROW / 2;
        let color = match name.as_str() {
            name if name.starts_with(DEFAULT) => RGBColor(31, 119, 180),
            _ => RGBColor(170, 170, 170),
        };
        let bar = [(LEFT, y - 8), (x(times.overhead), y + 8)];
        let spread = [(x(times.low), y), (x(times.high), y)];
        let number = format!("{:.0}", times.overhead);
        image
            .draw(&Text::new(
                name.as_str(),
                (LEFT - 8, y),
                font(14).into_text_style(&image).pos(right),
            ))
            .unwrap();
        image.draw(&Rectangle::new(bar, color.filled())).unwrap();
        image.draw(&PathElement::new(spread, BLACK)).unwrap();
        image
            .draw(&Text::new(
                number,
                (x(times.overhead.max(times.high)) + 8, y),
                font(14).into_text_style(&image).pos(left),
            ))
            .unwrap();
    }
    image.present().unwrap();
}
