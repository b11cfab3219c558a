"""A customer at work on this machine for as long as somebody watches: what `wmctl dev` starts and shows."""
