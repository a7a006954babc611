"""The parts of a score, and how each is fitted."""
