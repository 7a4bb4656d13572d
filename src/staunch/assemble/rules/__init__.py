"""What hardening takes out of a tree: one module for each rule, found by listing this package."""
