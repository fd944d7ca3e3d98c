//! The supervisor: builds the parts, starts the tasks, stops them.
