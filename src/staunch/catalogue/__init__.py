"""Ready specs: one YAML file each, data, no code."""
