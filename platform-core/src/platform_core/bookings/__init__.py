"""Trial classes that parents book: what the calendar says of them, and what came of each."""
