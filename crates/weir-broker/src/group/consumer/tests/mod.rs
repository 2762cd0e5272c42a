mod formats;
mod limits;
mod random;
mod rules;
mod timing;
mod topics;
mod world;
