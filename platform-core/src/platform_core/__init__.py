"""Jobs, signed webhooks, messages, payment claims and audit: one database per customer."""
