"""The parts of Calendly's stand-in: what an account knows, how it answers, what it posts."""
