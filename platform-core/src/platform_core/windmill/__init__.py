"""The edge that Windmill scripts import.

`http` takes webhooks and `panel` serves staff; `steps` is what cron and staff start, `flow_steps` what flows
are made of, `bookings` what follows a trial class, `accounts` what looks after providers. The last four open
the customer's platform by `office`.
Nothing is imported here: a webhook script pays only for what it uses.
"""
