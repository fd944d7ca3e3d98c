//! The life of a change: fence, publish, install.
