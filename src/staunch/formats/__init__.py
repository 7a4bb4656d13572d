"""Bytes to model and back: size-limited, no I/O."""
