"""The nouns of Staunch: frozen values, no I/O. Import from the modules."""
