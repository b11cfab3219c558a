"""The parts of the YCloud stand-in; `platform_cli.local.ycloud_standin` puts them together.

`payloads` builds events as YCloud documents them, `webhooks` signs and delivers them, `account` holds what an
account knows and decides what becomes of a send, `server` answers the API over HTTP, `scenarios` names the
ways in which a test may have it misbehave.
"""
