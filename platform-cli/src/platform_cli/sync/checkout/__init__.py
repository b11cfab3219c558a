"""The customer's folder in git, seen from its files: whose a file is, what is wrong with it, how to edit it.

`desired` and `folder`, beside this package, are what others call; here are their parts. `layout` knows which
file belongs to which item, `walking` reads the files, `judging` refuses what cannot be right, `rebasing` and
`editing` put new values into the YAML that people wrote, and `staging` moves files into place all at once.
"""
