"""What is inside, stated: the SBOM."""
