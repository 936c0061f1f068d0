//! Promises about the pages of help.

use std::process::Command;

use crate::support::harness::{Run, Scene, nonoverlap};

#[test]
fn a_short_help_has_the_usual_options_and_says_where_the_rest_is() {
    let scene = Scene::new();
    for flock in [false, true] {
        let program = || match flock {
            true => Command::new(scene.flock()),
            false => nonoverlap([""; 0]),
        };
        let page = |option: &str| {
            let ended = program().arg(option).run();
            assert_eq!((ended.code(), &*ended.stderr()), (Some(0), ""), "{ended:?}");
            ended.stdout()
        };
        let (short, long) = (page("-h"), page("--help"));
        assert!(short.lines().count() * 2 < long.lines().count(), "{short}");
        assert!(short.lines().all(|line| line.len() <= 80), "{short}");
        let name = if flock { "flock" } else { "nonoverlap" };
        assert!(short.contains(&format!("\nAll options and exit statuses: {name} --help\n")));
        assert_eq!(short.lines().last(), long.lines().last());
        // The lines of the short page are among those of the long one.
        let of_options = |line: &&str| line.starts_with("  ");
        for line in short.lines().filter(of_options) {
            assert!(long.contains(&format!("\n{line}\n")), "{line}");
        }
        let options = short.lines().filter(|line| line.starts_with("  -"));
        assert!(options.count() >= 4, "{short}");
    }
}

#[test]
fn the_help_ends_with_the_place_of_the_manual() {
    let place = concat!(
        "\nThe manual: man nonoverlap, or ",
        env!("CARGO_PKG_REPOSITORY"),
        "\n"
    );
    let help = nonoverlap(["--help"]).run().stdout();
    assert!(help.ends_with(place), "{help}");
}
