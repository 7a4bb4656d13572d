"""One module per family of packages: version order, installed database."""
