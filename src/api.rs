//! What the HTTP APIs share: problems, bodies, tables of routes of which router and description are made, and how often somebody may come.

pub mod body;
pub mod description;
pub mod problem;
pub mod table;
pub mod throttle;

pub use problem::Problem;
