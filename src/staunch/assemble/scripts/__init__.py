"""What maintainer scripts would have done, done natively: scripts are read, never run."""
