"""The rows of the commands that make, check and end customers, without any Windmill."""

from __future__ import annotations

from collections.abc import Mapping

from tests.cli.commands.row import Row
from tests.support.offices import SLUG, Office


def _resume(office: Office) -> None:
    office.say("tenant", "resume", SLUG, "--reason", "the test is over")


def _suspended(office: Office) -> str:
    office.say("tenant", "suspend", SLUG, "--reason", "a test")
    return SLUG


ROWS_OF_CUSTOMERS: Mapping[str, Row] = {
    "customer new": Row(
        {"name": SLUG, "yes": "", "local": ""},
        "there already",
        "customer target steps left",
        spoilt=(
            ({"name": "../../etc"}, 2, "is not a customer name"),
            ({"name": "Einstein Kids"}, 2, "'Einstein Kids' is not a customer name"),
            ({"country": "XX"}, 2, "'XX' is no country that is known here"),
            ({"country": "UY"}, 4, "is there with another country"),
            ({"currency": "BTC"}, 2, "'BTC' is not a known currency"),
            ({"zone": "Chile"}, 2, "'Chile' is not a time zone"),
            ({"language": "fr"}, 2, "does not speak 'fr'"),
            ({"connectors": "telegram"}, 2, "'telegram' is no connector"),
            ({"owner": "Ana Pérez"}, 2, "is no handle of a member"),
            ({"sender_phone": "12"}, 2, "is no phone number"),
            ({"secrets_from": "nowhere.toml"}, 2, "cannot be read"),
            ({"secrets_from": "README.md"}, 6, "may be read by others"),
            ({"target": "prod"}, 2, "contradict each other"),
        ),
    ),
    "customer update": Row(
        {"name": SLUG},
        "has version 2 of the template, the newest",
        "customer from_version to_version written files",
        spoilt=(
            ({"name": "einstein_kid"}, 2, "cannot be read"),
            ({"name": "../../etc"}, 2, "is not a customer name"),
        ),
    ),
    "customer check": Row({"local": ""}, "account ycloud", "customer healthy findings", code=1),
    "customer archive": Row(
        {"reason": "a test", "yes": "", "local": ""},
        "is suspended",
        spoilt=(({"reason": " "}, 2, "without a reason"),),
        after=_resume,
    ),
    "customer restore": Row(
        {"customer": _suspended, "reason": "a test", "yes": "", "local": ""},
        "is active",
        spoilt=(({"reason": " "}, 2, "without a reason"),),
        after=_resume,
    ),
    "customer erase": Row(
        {"customer": Office.doomed_customer, "reason": "a test", "confirm": Office.doomed, "local": ""},
        "is erased",
        spoilt=(
            ({"reason": " "}, 2, "without a reason"),
            ({"confirm": "another"}, 2, "its name was not typed"),
        ),
    ),
    "secret set": Row(
        {"name": "ycloud_inbound_secrets", "from_": Office.webhook_secret, "local": ""},
        "is set in this installation, its door",
        spoilt=(
            ({"name": "nothing"}, 2, "'nothing' is no secret of"),
            ({"from_": "nowhere"}, 2, "nowhere cannot be read (No such file or directory)"),
            ({"from_": "README.md"}, 2, "lines and not 1 to 3"),
            ({"target": "prod"}, 2, "contradict each other"),
        ),
    ),
    "secret rotate": Row(
        {"kind": "ycloud", "from_": Office.webhook_secret, "local": ""},
        "The old and the new secret of ycloud_inbound_secrets hold",
        spoilt=(
            ({"kind": "nothing"}, 2, "'nothing' is no kind of secret"),
            ({"kind": "windmill-salt"}, 4, "The salt cannot be replaced in place"),
            ({"kind": "superadmin"}, 2, "is a customer"),
            ({"kind": "reader"}, 2, "has no endpoint 'inbound' of reader"),
            ({"endpoint": "outbound"}, 2, "has no endpoint 'outbound' of ycloud"),
            ({"from_": "README.md"}, 2, "lines and not 1 to 3"),
            ({"target": "prod"}, 2, "contradict each other"),
        ),
    ),
    "secret list": Row({}, "ycloud_api_key", "name origin state age_days says"),
    "secret check": Row({}, "missing", "name state", code=1),
}
