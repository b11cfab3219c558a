"""A stand-in of Windmill's workspace API: items are created, changed, listed and exported, and none is run.

It answers with the statuses, bodies, delays and surprises that were measured on a server 1.743.0, keeps
everything in memory (and in a file, if asked), and says that it is a stand-in in `/api/version`.
"""
