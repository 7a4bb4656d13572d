"""Staunch: hardened, AI-ready container images from signed packages and hash-locked wheels."""
