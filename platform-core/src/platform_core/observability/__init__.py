"""What the platform says of itself: log lines without secrets, and alerts that need a person.

Nothing is imported here: a webhook script pays only for what it uses.
"""
