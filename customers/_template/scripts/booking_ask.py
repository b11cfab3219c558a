"""The onboarding flow asks staff what came of one trial class."""

from platform_core.windmill.bookings import ask_about_booking

CUSTOMER = "<<customer>>"


def main(booking: str) -> dict:
    return ask_about_booking(CUSTOMER, booking=booking)
