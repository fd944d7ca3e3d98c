pub(crate) mod fixture;

mod changes;
mod reloads;
mod serials;
mod storage;
