mod formats;
mod random;
mod rules;
mod timing;
mod topics;
mod world;
