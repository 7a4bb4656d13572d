"""What hardening takes out of a tree: one module for each rule, found by listing this package."""

from staunch.assemble.rules.registry import all_rules, describe, names

__all__ = ["all_rules", "describe", "names"]
