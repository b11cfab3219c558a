"""Messages: what contacts write to the customer, what the customer sends, and what became of it."""
