"""Releases of the platform: one version, one changelog, one tag, one manifest a host is deployed from.

`versions` holds the one version and who follows it, `changelog` the sections, `preparing` the commit and the
tag, `manifest` what is shipped. `python -m platform_cli.releases` is how make and the workflows call them.
"""
