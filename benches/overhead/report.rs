//! The results, for people and for programs.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::growth::Memory;
use crate::measure::{FLOCK, FLOOR, Table};

pub fn print(tables: &[Table], memory: &[Memory], rounds: usize) {
    println!("{rounds} rounds; {}", machine());
    let (curves, single): (Vec<_>, Vec<_>) = tables.iter().partition(|table| table.size.is_some());
    single.iter().for_each(|table| print_table(table));
    let mut last = "";
    for table in curves {
        if table.name != last {
            println!("\n{}: overhead in us", table.name);
            let names = table
                .cases
                .iter()
                .skip(1)
                .map(|case| format!("{:>19}", case.name));
            println!("{:>8}{}", "", names.collect::<String>());
        }
        last = table.name;
        let overhead = |case| format!("{:>19.0}", table.summary(case).overhead);
        let overheads: String = table.cases.iter().skip(1).map(overhead).collect();
        println!("{:>8}{overheads}", table.size.unwrap_or_default());
    }
    println!(
        "\n{:<26} {:>9} {:>11}",
        "memory of a held lock", "processes", "written"
    );
    for held in memory {
        println!(
            "{:<26} {:>9} {:>8} KB",
            held.name, held.processes, held.kilobytes
        );
    }
}

fn print_table(table: &Table) {
    println!(
        "\n{:<28} {:>10} {:>10} {:>17} {:>9} {:>11}",
        table.name, "median", "overhead", "middle half", "/ floor", "/ flock -n"
    );
    let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
    for case in &table.cases {
        let times = table.summary(case);
        let spread = format!("{:.0} to {:.0}", times.low, times.high);
        println!(
            "{:<28} {:>7.0} us {:>7.0} us {spread:>14} us {:>9} {:>11}",
            case.name,
            times.whole,
            times.overhead,
            ratio(table.ratio(case, FLOOR)),
            ratio(table.ratio(case, FLOCK))
        );
    }
}

fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut models = processors
        .lines()
        .filter_map(|line| line.strip_prefix("model name\t: "));
    let count = models.clone().count();
    let model = models.next_back().unwrap_or("unknown processor");
    format!("Linux {}, {count} x {model}", kernel.trim())
}

/// Times are in microseconds.
pub fn save(path: &Path, tables: &[Table], memory: &[Memory], rounds: usize) {
    let results = json!({
        "machine": machine(),
        "rounds": rounds,
        "tables": tables.iter().map(table).collect::<Vec<_>>(),
        "memory": memory.iter().map(held).collect::<Vec<_>>(),
    });
    fs::write(path, format!("{results:#}\n")).unwrap();
}

fn table(table: &Table) -> Value {
    let tenths = |time: f64| (time * 10.0).round() / 10.0;
    let cases = table.cases.iter().map(|case| {
        let times = table.summary(case);
        json!({
            "name": case.name,
            "median": tenths(times.whole),
            "overhead": tenths(times.overhead),
            "middle_half": [tenths(times.low), tenths(times.high)],
            "to_floor": table.ratio(case, FLOOR),
            "to_flock": table.ratio(case, FLOCK),
        })
    });
    json!({ "name": table.name, "size": table.size, "cases": cases.collect::<Vec<_>>() })
}

fn held(memory: &Memory) -> Value {
    json!({
        "name": memory.name,
        "processes": memory.processes,
        "written_kilobytes": memory.kilobytes,
    })
}
