//! What the integration tests and the benchmarks share: frames, TEST_RUN, and namespaces with real traffic.

pub mod bench;
pub mod frames;
pub mod kernel;
pub mod net;
pub mod planes;
pub mod queries;
pub mod references;
pub mod server;
pub mod testrun;
pub mod zones;
