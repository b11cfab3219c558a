"""One machine, no accounts: embedded PostgreSQL, the script runtime and the provider stand-ins."""
