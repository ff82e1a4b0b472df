//! What is logged, to where, and how often.
