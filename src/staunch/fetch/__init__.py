"""Signatures, indexes, packages, wheels: nothing but Verified comes back."""
