//! The day as a picture: runs per hour, a bar for each job and way.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde_json::Value;

const ROW: i32 = 26;
const LEFT: i32 = 200;
const SCALE_WIDTH: f64 = 400.0;

pub fn draw(path: &Path, rows: &[Value]) {
    let number = |row: &Value, field: &str| row[field].as_f64().unwrap();
    let most = rows
        .iter()
        .map(|row| number(row, "runs_per_hour"))
        .fold(0.0, f64::max);
    let size = (760, (ROW * (rows.len() as i32 + 2)) as u32);
    let image = SVGBackend::new(path, size).into_drawing_area();
    image.fill(&WHITE).unwrap();
    let font = |size: i32| ("sans-serif", size).into_font();
    let style = |side| {
        font(14)
            .into_text_style(&image)
            .pos(Pos::new(side, VPos::Center))
    };
    let title = "Runs per hour of a job that cron starts every two minutes, by how long it takes";
    image.draw(&Text::new(title, (10, 16), font(15))).unwrap();
    for (place, row) in rows.iter().enumerate() {
        let y = ROW * (place as i32 + 2) - ROW / 2;
        let waits = row["way"] != "refused";
        let color = match waits {
            true => RGBColor(31, 119, 180),
            false => RGBColor(170, 170, 170),
        };
        let way = if waits { " with -w 119" } else { "" };
        let name = format!("{}{way}", row["job"].as_str().unwrap());
        let runs = number(row, "runs_per_hour");
        let end = LEFT + (runs / most * SCALE_WIDTH) as i32;
        let said = format!(
            "{runs:.1}, refused per run: {:.1}",
            number(row, "refused_per_run")
        );
        image
            .draw(&Text::new(name, (LEFT - 8, y), style(HPos::Right)))
            .unwrap();
        image
            .draw(&Rectangle::new(
                [(LEFT, y - 8), (end, y + 8)],
                color.filled(),
            ))
            .unwrap();
        image
            .draw(&Text::new(said, (end + 8, y), style(HPos::Left)))
            .unwrap();
    }
    image.present().unwrap();
}
