pub(crate) mod fixture;

mod changes;
mod model;
mod reloads;
mod serials;
mod stages;
mod storage;
