//! A simulated world: clock, hosts, disk, traffic, faults, checkers.
