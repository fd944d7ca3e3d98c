pub(crate) mod fixture;

mod changes;
mod reloads;
mod serials;
mod stages;
mod storage;
