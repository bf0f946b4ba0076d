//! AWS operations as functions of state, input and time.
