"""Receipts, claims, decisions and obligations: who paid what, and what was checked at the bank."""
