//! Trains small dense networks.
#![cfg_attr(not(feature = "std"), no_std)]
