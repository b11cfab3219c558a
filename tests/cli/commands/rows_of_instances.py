"""The rows of the commands about a Windmill instance: their own tests ask a stand-in."""

from __future__ import annotations

from collections.abc import Mapping

from tests.cli.commands.row import Row

ROWS_OF_INSTANCES: Mapping[str, Row] = {
    "instance check": Row(
        {"url": "https://windmill.invalid", "token_from": "README.md"},
        "",
        "server_version workspace at took_s differing findings left probes",
        spoilt=(
            ({"url": "windmill"}, 2, "windmill is no address"),
            ({"target": "elsewhere"}, 2, "Both a target and an address were given"),
            ({"token_from": "nowhere"}, 2, "nowhere cannot be read"),
        ),
    ),
    "instance admit": Row(
        {
            "email": "ana@agency.test",
            "url": "https://windmill.invalid",
            "token_from": "README.md",
            "token_to": "ana.token",
        },
        "",
        "email workspaces account token_file ends_at replaced",
        spoilt=(
            ({"email": "ana"}, 2, "'ana' is no address"),
            ({"url": "windmill"}, 2, "windmill is no address"),
            ({"token_from": "nowhere"}, 2, "nowhere cannot be read"),
            ({"token_to": "nowhere/ana.token"}, 2, "there is no such folder"),
            ({"password_from": "nowhere"}, 2, "nowhere cannot be read"),
            ({"days": "366"}, 2, "--days"),
        ),
    ),
    "instance dismiss": Row(
        {"email": "ana@agency.test", "url": "https://windmill.invalid", "token_from": "README.md"},
        "",
        "email workspaces tokens doors",
        spoilt=(
            ({"email": "ana"}, 2, "'ana' is no address"),
            ({"target": "elsewhere"}, 2, "Both a target and an address were given"),
            ({"token_from": "nowhere"}, 2, "nowhere cannot be read"),
        ),
    ),
    "instance init": Row(
        {"base_url": "https://windmill.invalid", "token_from": "README.md"},
        "",
        "name done before wanted",
        spoilt=(
            ({"base_url": "windmill"}, 2, "windmill is no address"),
            ({"retention_days": "31"}, 2, "--retention-days"),
            ({"token_from": "nowhere"}, 2, "nowhere cannot be read"),
        ),
    ),
}
