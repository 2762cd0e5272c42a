mod batches;
mod random;
mod rules;
