//! Bytes to typed requests and back: SigV4, the AWS protocols, error envelopes.
