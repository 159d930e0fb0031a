//! Results for people and programs: table, JSON, CSV, figures, comparison.

mod compare;
mod csv;
mod figure;
mod lab;
mod sweep;
mod table;

pub use compare::compare;
pub(crate) use compare::figures;
pub use csv::write_csv;
pub use figure::{write_comparison, write_figures, write_sweep_figures};
pub(crate) use lab::notes;
pub use sweep::{sweep_table, write_sweep_csv};
pub use table::table;
pub(crate) use table::{head, line};
