//! The benches' figures as charts in SVG, small enough for a repository and legible at the 800 pixels that a README has.
//!
//! [`bars`] compares some brokers in some scenarios, with how far each figure spreads over the rounds; [`curves`] shows how
//! a figure grows, or how it changes with time. A chart stands on a white plate, as a README is read on dark pages too, and
//! its text is text. A series has its colour by its place: pass all brokers in one order, also those without a figure.

// Each bench draws what it has.
#![allow(dead_code, unused_imports)]

mod bars;
mod canvas;
mod curves;
mod ruler;

pub(crate) use bars::{Bar, Bars, Group, bars};
pub(crate) use curves::{Axis, Curve, Curves, curves};
