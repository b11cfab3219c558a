"""The onboarding flow asks which trial classes are over and wait for a word."""

from platform_core.windmill.bookings import due_bookings

CUSTOMER = "<<customer>>"


def main() -> dict:
    return due_bookings(CUSTOMER)
