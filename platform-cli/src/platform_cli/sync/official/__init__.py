"""The formats of Windmill's official CLI: its export, its tree of files, and the canonical form between them.

`canonical` says when two values mean the same, `export` reads the server's tarball, `tree` turns items into
the CLI's files and back, `naming` names scripts inside flows, `lockfile` writes `wmill-lock.yaml`.
"""
