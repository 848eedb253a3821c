//! Contract suites, fault injection and fixtures for implementors of the seams.
