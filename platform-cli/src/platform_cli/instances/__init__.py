"""A Windmill instance as a whole: what wmctl relies on is looked at, and a bare one is set up."""
