"""Schedules as Windmill keeps them: when the next tick is, what may run beside what, what is never made up."""
