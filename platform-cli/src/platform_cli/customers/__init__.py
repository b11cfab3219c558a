"""Customers as data: what a customer is made of, and the way from a name to one that works.

`profile` holds what a customer says of itself, `template` what all customers start from. `creation` makes one
in steps that may be repeated after any failure, `updating` brings a newer template to a folder that drifted,
`health` says whether all of it works, and `ending` archives or erases it.
"""
