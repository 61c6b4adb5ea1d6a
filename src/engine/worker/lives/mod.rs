//! The real worker over servers in memory that go wrong at call k, for every k, in every way, under
//! paused time. What came out is compared with the input: each record archived once, each word
//! counted once, nothing left in staging.

mod failures;
mod heard;
mod idle;
mod leaving;
mod oracle;
mod owned;
mod partials;
mod schemas;
mod stopping;
mod topics;
mod uncounted;
mod world;
