"""Hosts that the platform is deployed to: which there are, and what is said to the program on them."""
