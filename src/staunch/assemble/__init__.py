"""Parts to one tree in memory, rules on it, segments and layers out of it."""
