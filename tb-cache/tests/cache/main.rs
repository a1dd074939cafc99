//! The cache from outside: one block at a time, and many threads at once.

mod life;
mod pages;
mod sets;
mod stress;
mod world;
