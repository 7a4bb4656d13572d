"""Staunch: hardened, AI-ready container images from signed packages and hash-locked wheels."""

__version__ = "0.1.0.dev0"
