"""Staff say that the pupil of a trial class does not stay."""

from platform_core.windmill.bookings import decline_booking

CUSTOMER = "<<customer>>"


def main(booking: str, staff: str) -> dict:
    return decline_booking(CUSTOMER, booking=booking, staff=staff)
