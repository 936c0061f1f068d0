//! The README, the manual and the help say what the program does.

mod caveats;
mod comparison;
mod layers;
mod man_and_readme;
mod readme_commands;
mod recipes;
