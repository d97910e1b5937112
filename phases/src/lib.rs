//! The phases room.
