//! What the HTTP APIs share: problems, tables of routes of which router and description are made, and how often somebody may come.

pub mod description;
pub mod problem;
pub mod table;
pub mod throttle;

pub use problem::Problem;
