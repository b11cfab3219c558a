"""What is sent to bring one item from what it is to what it shall be: pure, as values.

A `Write` names the two ends; `steps` lists the calls between them, and after each call what Windmill then has
for the item. So whoever finds an item after a crash can tell from `states` whether we left it like that.
Three things hold for every kind: a person's draft stays (`skip_draft_deletion`), schedules and routes name
whom they run as, and the operational switch stays as ops left it unless it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from platform_cli.sync.items import SWITCHES, Item, Json, Key, Kind, text_of

_OURS = frozenset({"extra_perms", "has_on_behalf_of", "has_permissioned_as"})
_FIXED_IN_SCHEDULE = frozenset({"script_path", "is_flow", "enabled"})
_OF_A_VARIABLE = frozenset({"value", "description", "labels"})
_VARIABLE = "$var:"


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `tail` is relative to the workspace's API, already quoted."""

    method: str
    tail: str
    body: Json = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a write, and what Windmill has for the item once it went through."""

    call: Call
    leaves: Item | None


@dataclass(frozen=True, slots=True)
class Write:
    """One item to bring from `before` to `after`; None stands for absent.

    `version` is the hash of the script that `before` was read from. `runs_as` is whom schedules and routes
    run as; `caller` is the token's user, whom Windmill makes an owner of a folder he creates; `switch`
    says that the operational switch is written too. `recreate` deletes and creates instead of updating.
    `message` is kept by Windmill with the version.
    """

    key: Key
    before: Item | None
    after: Item | None
    version: str | None = None
    runs_as: str = ""
    caller: str = ""
    message: str = ""
    switch: bool = False
    recreate: bool = False

    @property
    def verb(self) -> str:
        """What happens to the item: create, update or delete."""
        if self.after is None:
            return "delete"
        return "create" if self.before is None else "update"

    @property
    def expected(self) -> Item | None:
        """What Windmill has when the write is done: `after`, with the switch that it does not touch."""
        switch = SWITCHES.get(self.key.kind)
        if self.before is None or self.after is None or self.switch or switch is None:
            return self.after
        if switch not in self.before.value:
            return self.after
        return Item(self.key, {**self.after.value, switch: self.before.value[switch]})


def steps(write: Write, *, archived: Item | None = None) -> tuple[Step, ...]:
    """The calls of a write, in order. `archived` is the flow of this path that lies in the archive."""
    if write.after is None:
        return tuple(_DELETIONS[write.key.kind](write))
    if write.before is not None and (write.recreate or _must_recreate(write)):
        gone = replace(write, after=None)
        anew = replace(write, before=None, after=write.expected)
        return (*_DELETIONS[write.key.kind](gone), *_PUTS[write.key.kind](anew, None))
    return tuple(_PUTS[write.key.kind](write, archived))


def states(write: Write) -> tuple[Item | None, ...]:
    """Everything Windmill can have for the item while we are at it, from `before` to the end."""
    return (write.before, *(step.leaves for step in steps(write)))


def same(one: Item | None, other: Item | None) -> bool:
    """Whether two items are the same but for what lock jobs write."""
    if one is None or other is None:
        return one is other
    return one.key == other.key and one.digest == other.digest


def alike(one: Item | None, other: Item | None, *, switches: bool = False) -> bool:
    """Whether two items are the same but for locks and, unless `switches`, for what ops switch on and off."""
    if switches or one is None or other is None or (switch := SWITCHES.get(one.key.kind)) is None:
        return same(one, other)
    return same(_with(one, switch, None), _with(other, switch, None))


def place(path: str) -> str:
    """A path as it stands in an address."""
    return quote(path, safe="/")


def revision(path: str, version: str, message: str) -> Call:
    """Keeps a message with a version of a script, where people see it in its history."""
    tail = f"scripts/history_update/h/{version}/p/{place(path)}"
    return Call("POST", tail, {"deployment_msg": message})


# --- Scripts ----------------------------------------------------------------------------------------------


def _put_script(write: Write, _: Item | None) -> Iterator[Step]:
    after = _wanted(write)
    body = _sent(write, after)
    if not body.get("lock"):
        body.pop("lock", None)
    if write.version is not None:
        body["parent_hash"] = write.version
    written = _with_rights(after, _rights(write.before))
    yield Step(Call("POST", "scripts/create", {**body, **_kept(write)}), written)
    yield from _right_steps(write, write.before)


def _delete_script(write: Write) -> Iterator[Step]:
    yield Step(Call("POST", f"scripts/archive/p/{place(write.key.path)}"), None)


# --- Flows ------------------------------------------------------------------------------------------------


def _put_flow(write: Write, archived: Item | None) -> Iterator[Step]:
    after = _wanted(write)
    path = place(write.key.path)
    body = {**_sent(write, after), **_kept(write)}
    if write.before is None and archived is None:
        yield Step(Call("POST", "flows/create", body), _with_rights(after, {}))
        yield from _right_steps(write, None)
        return
    changed = Call("POST", f"flows/update/{path}", {**body, **_emptied_labels(write, archived)})
    if archived is None:
        yield Step(changed, _with_rights(after, _rights(write.before)))
        yield from _right_steps(write, write.before)
        return
    # Nobody sees it before it leaves the archive, which is the last call.
    hidden = [changed, *(step.call for step in _right_steps(write, archived))]
    yield from (Step(call, None) for call in hidden)
    yield Step(Call("POST", f"flows/archive/{path}", {"archived": False}), after)


def _delete_flow(write: Write) -> Iterator[Step]:
    # Deleting it would take the drafts of colleagues and every earlier version along.
    yield Step(Call("POST", f"flows/archive/{place(write.key.path)}", {"archived": True}), None)


# --- Schedules and routes ---------------------------------------------------------------------------------


def _put_schedule(write: Write, _: Item | None) -> Iterator[Step]:
    after = _wanted(write)
    path = place(write.key.path)
    body = {**_sent(write, after), **_identity(write)}
    if write.before is None:
        yield Step(Call("POST", "schedules/create", body), after)
        return
    unswitched = _with(after, "enabled", write.before.value.get("enabled"))
    body = {name: value for name, value in body.items() if name not in _FIXED_IN_SCHEDULE}
    if not same(write.before, unswitched) or write.runs_as:
        yield Step(Call("POST", f"schedules/update/{path}", {**body, **_emptied_labels(write)}), unswitched)
    if after.value.get("enabled") != unswitched.value.get("enabled"):
        turned = {"enabled": after.value.get("enabled")}
        yield Step(Call("POST", f"schedules/setenabled/{path}", turned), after)


def _put_http_trigger(write: Write, _: Item | None) -> Iterator[Step]:
    after = _wanted(write)
    body = {**_sent(write, after), **_identity(write)}
    body.pop("route_path_key", None)
    if write.before is None:
        yield Step(Call("POST", "http_triggers/create", body), after)
        return
    if not write.switch:
        body.pop("mode", None)  # without it the server keeps the switch; setmode would move the identity
    tail = f"http_triggers/update/{place(write.key.path)}"
    yield Step(Call("POST", tail, {**body, **_emptied_labels(write)}), after)


# --- Variables, resources and their types -----------------------------------------------------------------


def _put_variable(write: Write, _: Item | None) -> Iterator[Step]:
    after = _wanted(write)
    body = _sent(write, after)
    if write.before is None:
        yield Step(Call("POST", "variables/create", {"description": "", "is_secret": False, **body}), after)
        return
    changed = {name: value for name, value in body.items() if name in _OF_A_VARIABLE}
    tail = f"variables/update/{place(write.key.path)}"
    yield Step(Call("POST", tail, {**changed, **_emptied_labels(write)}), after)


def _put_resource(write: Write, _: Item | None) -> Iterator[Step]:
    after = _wanted(write)
    # An update could neither change the type nor take a description away; this sets everything at once.
    known = "" if write.before is None else "?update_if_exists=true"
    yield Step(Call("POST", f"resources/create{known}", _sent(write, after)), after)


def _delete_resource(write: Write) -> Iterator[Step]:
    if write.before is not None and _VARIABLE in text_of(write.before.value.get("value")):
        # Windmill deletes every variable that a deleted resource names, the secret ones too: name none first.
        emptied = _with(write.before, "value", {})
        body = {**_sent(write, emptied), "value": {}}
        yield Step(Call("POST", "resources/create?update_if_exists=true", body), emptied)
    yield Step(Call("DELETE", f"resources/delete/{place(write.key.path)}"), None)


def _put_resource_type(write: Write, _: Item | None) -> Iterator[Step]:
    after = _wanted(write)
    body = {**_sent(write, after), "name": write.key.path}
    body.pop("path", None)
    if write.before is None:
        yield Step(Call("POST", "resources/type/create", body), after)
        return
    changed = {name: body.get(name) for name in ("schema", "description", "is_fileset")}
    yield Step(Call("POST", f"resources/type/update/{place(write.key.path)}", changed), after)


# --- Folders ----------------------------------------------------------------------------------------------


def _put_folder(write: Write, _: Item | None) -> Iterator[Step]:
    after = _wanted(write)
    name = write.key.path.removeprefix("f/")
    body = {item: value for item, value in after.value.items() if item not in _OURS or item == "extra_perms"}
    if write.before is None:
        yield Step(Call("POST", "folders/create", {**body, "name": name}), _with_owner(after, write.caller))
        if same(_with_owner(after, write.caller), after):
            return
        body = {"owners": body.get("owners", []), "extra_perms": body.get("extra_perms", {})}
    else:
        body = {**body, **_emptied_labels(write)}
        body.setdefault("default_permissioned_as", [])
        if body.get("summary") is None and write.before.value.get("summary") is not None:
            body["summary"] = ""  # null would leave it as it is
    yield Step(Call("POST", f"folders/update/{place(name)}", body), after)


def _with_owner(folder: Item, owner: str) -> Item:
    owners = folder.value.get("owners")
    rights = folder.value.get("extra_perms")
    listed = owners if isinstance(owners, list) else []
    given = rights if isinstance(rights, dict) else {}
    full = [*listed, owner] if owner not in listed else listed
    return Item(
        folder.key,
        {**folder.value, "owners": full, "extra_perms": {**given, **{str(one): True for one in full}}},
    )


# --- Raw apps ---------------------------------------------------------------------------------------------


def _put_raw_app(write: Write, _: Item | None) -> Iterator[Step]:
    after = _wanted(write)
    body = {name: after.value[name] for name in ("summary", "custom_path") if name in after.value}
    written = _with_rights(after, _rights(write.before))
    yield Step(Call("POST", f"apps/update/{place(write.key.path)}", {**body, **_kept(write)}), written)
    yield from _right_steps(write, write.before)


# --- What the kinds share ---------------------------------------------------------------------------------


def _deletion(tail: str) -> Callable[[Write], Iterator[Step]]:
    def only(write: Write) -> Iterator[Step]:
        yield Step(Call("DELETE", f"{tail}/{place(write.key.path.removeprefix(_cut(write.key)))}"), None)

    return only


def _cut(key: Key) -> str:
    return "f/" if key.kind is Kind.FOLDER else ""


def _wanted(write: Write) -> Item:
    expected = write.expected
    if expected is None:
        raise ValueError(f"{write.key} has nothing to be written")
    return expected


def _sent(write: Write, item: Item) -> dict[str, Json]:
    """The fields of an item as its call takes them."""
    body = {name: value for name, value in item.value.items() if name not in _OURS}
    if "on_behalf_of_email" in body:
        body["preserve_on_behalf_of"] = True
    return {**body, "path": write.key.path}


def _kept(write: Write) -> dict[str, Json]:
    return {"skip_draft_deletion": True, **({"deployment_message": write.message} if write.message else {})}


def _identity(write: Write) -> dict[str, Json]:
    if not write.runs_as:
        return {}
    return {"permissioned_as": write.runs_as, "preserve_permissioned_as": True}


def _emptied_labels(write: Write, archived: Item | None = None) -> dict[str, Json]:
    """Labels that were left out would stay: they must be taken away in so many words."""
    had = archived or write.before
    if had is None or "labels" not in had.value or write.after is None or "labels" in write.after.value:
        return {}
    return {"labels": []}


def _with(item: Item, name: str, value: Json) -> Item:
    return Item(item.key, {**item.value, name: value})


def _must_recreate(write: Write) -> bool:
    """Whether no update can do it: the server ignores a schedule's new target, and a type's new extension."""
    before, after = write.before, write.after
    if before is None or after is None:
        return False

    def differs(name: str) -> bool:
        return before.value.get(name) != after.value.get(name)

    match write.key.kind:
        case Kind.SCHEDULE:
            return differs("script_path") or differs("is_flow")
        case Kind.RESOURCE_TYPE:
            emptied = any(
                before.value.get(name) is not None and after.value.get(name) is None
                for name in ("schema", "description")
            )
            return emptied or differs("format_extension")
        case _:
            return False


# --- Rights of one item -----------------------------------------------------------------------------------


def _rights(item: Item | None) -> Mapping[str, Json]:
    found = item.value.get("extra_perms") if item is not None else None
    return found if isinstance(found, dict) else {}


def _with_rights(item: Item, rights: Mapping[str, Json]) -> Item:
    value = {name: field for name, field in item.value.items() if name != "extra_perms"}
    return Item(item.key, {**value, "extra_perms": dict(rights)} if rights else value)


def _right_steps(write: Write, rights_of: Item | None) -> Iterator[Step]:
    """Grants and withdrawals, one call each, from the rights that another state of the item has."""
    after = _wanted(write)
    given, wanted = dict(_rights(rights_of)), _rights(after)
    kind = write.key.kind
    for owner in sorted({*given, *wanted}):
        if given.get(owner) == wanted.get(owner) and (owner in given) == (owner in wanted):
            continue
        verb = "add" if owner in wanted else "remove"
        body: dict[str, Json] = {"owner": owner}
        if owner in wanted:
            body["write"] = given[owner] = wanted[owner]
        else:
            del given[owner]
        tail = f"acls/{verb}/{kind}/{place(write.key.path)}"
        yield Step(Call("POST", tail, body), _with_rights(after, given))


_PUTS: Mapping[Kind, Callable[[Write, Item | None], Iterator[Step]]] = {
    Kind.FOLDER: _put_folder,
    Kind.RESOURCE_TYPE: _put_resource_type,
    Kind.VARIABLE: _put_variable,
    Kind.RESOURCE: _put_resource,
    Kind.SCRIPT: _put_script,
    Kind.FLOW: _put_flow,
    Kind.RAW_APP: _put_raw_app,
    Kind.SCHEDULE: _put_schedule,
    Kind.HTTP_TRIGGER: _put_http_trigger,
}
_DELETIONS: Mapping[Kind, Callable[[Write], Iterator[Step]]] = {
    Kind.FOLDER: _deletion("folders/delete"),
    Kind.RESOURCE_TYPE: _deletion("resources/type/delete"),
    Kind.VARIABLE: _deletion("variables/delete"),
    Kind.RESOURCE: _delete_resource,
    Kind.SCRIPT: _delete_script,
    Kind.FLOW: _delete_flow,
    Kind.RAW_APP: _deletion("apps/delete"),
    Kind.SCHEDULE: _deletion("schedules/delete"),
    Kind.HTTP_TRIGGER: _deletion("http_triggers/delete"),
}
