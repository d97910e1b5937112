//! `health`: would you give it work?

pub mod cluster;
pub mod history;
pub mod services;
pub mod temporary;
