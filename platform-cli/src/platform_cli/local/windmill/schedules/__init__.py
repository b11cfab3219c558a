"""Schedules as Windmill keeps them: when the next tick is, what runs beside what, what is dropped."""
