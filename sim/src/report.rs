//! Results for people and programs: table, JSON, CSV, figures, comparison.

mod compare;
mod csv;
mod figure;
mod lab;
mod table;

pub use compare::compare;
pub use csv::write_csv;
pub use figure::write_figures;
pub use table::table;
