"""The verbs, one module each; ``command`` is the click command."""
