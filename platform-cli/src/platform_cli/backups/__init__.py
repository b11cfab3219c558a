"""Copies of a host's data, from an operator's desk: which there are, carried off it and back, put back."""
