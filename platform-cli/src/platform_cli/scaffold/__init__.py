"""A new connector from templates, and what is left to write of one."""
