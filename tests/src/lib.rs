//! What the integration tests, the benchmarks and the fuzzer share: frames, TEST_RUN, and namespaces with real traffic.

pub mod bench;
pub mod certificates;
pub mod differential;
pub mod discovery;
pub mod documents;
pub mod etcd;
pub mod frames;
pub mod fuzzing;
pub mod kernel;
pub mod kubernetes;
pub mod net;
pub mod planes;
pub mod queries;
pub mod references;
pub mod registries;
pub mod server;
pub mod testrun;
pub mod upstreams;
pub mod zones;
