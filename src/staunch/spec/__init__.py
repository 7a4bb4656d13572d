"""YAML to ImageSpec, with file, line and column for every fault."""
