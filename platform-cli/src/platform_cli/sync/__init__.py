"""Keeps customers' folders and a live Windmill in step: three trees in, a plan out, and never a lost edit.

`items` says what an item is; `desired` reads the customer's folder, `workspace` the live server, `state` what
both last agreed on. `merge` and `planning` are pure: three trees become a `Plan`, which is a value. `apply`
carries it out in waves, and `undo` puts back what was there.
"""
