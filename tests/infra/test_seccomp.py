"""What the workers' system call profile adds to the engine's: what a job's namespaces take, and no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PROFILE = Path(__file__).resolve().parents[2] / "infra" / "compose" / "worker-seccomp.json"
NEW_USER, NEW_PROCESS, NEW_MOUNT = 0x10000000, 0x20000000, 0x00020000
_RULES: list[dict[str, Any]] = json.loads(PROFILE.read_text(encoding="utf-8"))["syscalls"]
"""Any: as the engine's format has it."""


def _allowed(name: str) -> list[dict[str, Any]]:
    return [rule for rule in _RULES if name in rule["names"] and rule["action"] == "SCMP_ACT_ALLOW"]


def test_nothing_is_allowed_that_is_not_named() -> None:
    """The default is refusal."""
    assert json.loads(PROFILE.read_text(encoding="utf-8"))["defaultAction"] == "SCMP_ACT_ERRNO"


def test_unshare_makes_these_three_kinds_of_namespace_and_no_other() -> None:
    """Not network, not cgroup, not ipc."""
    (rule,) = _allowed("unshare")
    (argument,) = rule["args"]

    assert (argument["index"], argument["op"]) == (0, "SCMP_CMP_MASKED_EQ")
    assert argument["value"] == 0xFFFFFFFF ^ (NEW_USER | NEW_PROCESS | NEW_MOUNT)
    assert argument.get("valueTwo", 0) == 0


def test_mount_takes_these_flags_and_no_others() -> None:
    """Each is one line of `confine` or of unshare: no remount that could be written to is among them."""
    rules = _allowed("mount")

    assert [[(a["index"], a["op"]) for a in rule["args"]] for rule in rules] == [[(3, "SCMP_CMP_EQ")]] * 5
    assert sorted(rule["args"][0]["value"] for rule in rules) == [6, 14, 0x1000, 0x44000, 0x201027]


def test_nothing_undoes_what_was_mounted() -> None:
    """Nor enters another namespace, loads code into the kernel, or looks at another process."""
    gone = ["umount", "umount2", "setns", "pivot_root", "move_mount", "open_tree", "fsopen", "mount_setattr"]
    gone += ["bpf", "init_module", "finit_module", "kexec_load", "perf_event_open", "chroot"]

    assert {name: _allowed(name) for name in gone if _allowed(name)} == {}


def test_every_addition_says_why() -> None:
    """The rest is the engine's own profile, less what needs a capability."""
    added = [rule for rule in _RULES if {"unshare", "mount"} & set(rule["names"])]

    assert [rule for rule in added if not rule.get("comment")] == []
