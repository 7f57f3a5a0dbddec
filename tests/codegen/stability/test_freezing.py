"""A break that is meant is told in the changelog, frozen and remembered."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from codegen.__main__ import main
from codegen.generate import generate
from codegen.runtime._stability import Stability
from codegen.stability.breaks import Break
from codegen.stability.changelog import told_as, untold
from codegen.stability.gate import check, freeze
from codegen.tree import write
from support.api_copy import Copy, parts_that_read
from support.api_edits import ENV, ERRORS, append, drop, listed, swap
from support.repository import ROOT

NOTE = "## [Unreleased]\n\n- `RemoteEnv.end` was `RemoteEnv.close`."
MIGRATION = " Migration: call `end`."
RENAMED = "rlmesh.RemoteEnv.close (Stable): it is gone: "


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_a_break_is_frozen_once_the_changelog_says_how_to_go_on(copy: Copy) -> None:
    swap(ENV, "def close(self)", "def end(self)")(copy.root)
    [line] = check(copy.root)
    assert line.startswith(RENAMED)
    assert freeze(copy.root) == [
        (
            "CHANGELOG.md: expected an entry under [Unreleased] that names `RemoteEnv.close`: it "
            "is gone: it was removed or renamed"
        )
    ]
    swap("CHANGELOG.md", "## [Unreleased]\n", f"{NOTE}\n")(copy.root)
    asked = [
        (
            "CHANGELOG.md: expected `Migration:` and how to go on in the entry that names "
            "`RemoteEnv.close`, which was Stable"
        )
    ]
    assert freeze(copy.root) == asked
    assert [line] == check(copy.root), "a refusal writes nothing"
    swap("CHANGELOG.md", NOTE, NOTE + MIGRATION)(copy.root)
    assert freeze(copy.root) == []
    assert check(copy.root) == []
    # The record remembers what was meant, until another version is worked on.
    drop("CHANGELOG.md", MIGRATION)(copy.root)
    assert check(copy.root) == asked
    swap("rlmesh/_version.py", '"0.1.0"', '"0.2.0"')(copy.root)
    assert check(copy.root) == []
    assert freeze(copy.root) == []
    assert json.loads((copy.root / "baseline/record.json").read_text())["breaks"] == []


def test_a_break_of_the_wire_is_frozen_likewise(copy: Copy) -> None:
    proto = "schema/rlmesh_api/v1/env_service.proto"
    drop(proto, "  rpc Shutdown(ShutdownRequest) returns (ShutdownResponse);\n")(copy.root)
    assert run(f"--root={copy.root}").exit_code == 0
    [line] = freeze(copy.root)
    assert line.startswith("CHANGELOG.md: expected an entry under [Unreleased] that names ")
    told = "## [Unreleased]\n\n- `EnvService.Shutdown` is gone. Migration: send SIGTERM.\n"
    swap("CHANGELOG.md", "## [Unreleased]\n", told)(copy.root)
    assert freeze(copy.root) == []
    assert check(copy.root) == []


KEYS = "class {name}(TypedDict):\n    {low}: int\n    high: NotRequired[int]\n"
CHANGED_KEYS = {
    "Looser": (
        ("low: int", "low: NotRequired[int]"),
        ".low (Stable): it is not required now, it was req",
    ),
    "Partial": (
        ("(TypedDict)", "(TypedDict, total=False)"),
        ".least (Stable): it is not required now",
    ),
    "Stricter": (
        ("NotRequired[int]\n", "int\n"),
        ".high (Stable): it is required now, it was not required",
    ),
    "Wider": (
        ("low: int", "low: int | str"),
        ".low (Stable): its type is Required[int | str] now",
    ),
    "Narrower": (
        ("low: int", "low: bool"),
        ".low (Stable): its type is Required[bool] now, it was Required",
    ),
    "Shorter": (("    low: int\n", ""), ".low (Stable): it is gone"),
    "Longer": (
        ("low: int", "low: int\n    step: int"),
        ".step (Stable): the new key is required; make",
    ),
    "Optional": (("low: int", "low: int\n    step: NotRequired[int]"), None),
}
"""Of one class each: how its keys change, and how the line about it goes on, if there is one."""


def keys_of(name: str) -> str:
    # What happens to two members of one name alike is one line.
    return KEYS.format(name=name, low="least" if name == "Partial" else "low")


def test_the_keys_of_a_typed_dict_are_needed_as_they_were(copy: Copy) -> None:
    names = "".join(f'    "{name}",\n' for name in CHANGED_KEYS)
    swap(ERRORS, "__all__ = [\n", f"__all__ = [\n{names}")(copy.root)
    append(
        ERRORS, "\n\nfrom typing import TypedDict\n\nfrom typing_extensions import NotRequired\n"
    )(copy.root)
    for name in CHANGED_KEYS:
        append(ERRORS, f"\n\n{keys_of(name)}")(copy.root)
        listed(f"rlmesh.errors.{name}", "class", "Stable")(copy.root)
    write(generate(copy.root), copy.root / "generated")
    assert freeze(copy.root) == []
    for name, ((old, new), _) in CHANGED_KEYS.items():
        keys = keys_of(name)
        swap(ERRORS, keys, keys.replace(old, new))(copy.root)
    lines = check(copy.root, parts_that_read({ERRORS}))
    expected = [
        f"rlmesh.errors.{name}{told}"
        for name, (_, told) in CHANGED_KEYS.items()
        if told is not None
    ]
    starts = [[start for start in expected if line.startswith(start)] for line in lines]
    assert sorted(starts) == sorted([start] for start in expected), lines


def test_nothing_is_frozen_while_something_else_is_wrong(copy: Copy) -> None:
    drop(ERRORS, '    "StateError",\n')(copy.root)
    [line] = freeze(copy.root)
    assert line.startswith("rlmesh.errors.StateError is listed in api_metadata.json and not ")


def test_what_is_frozen_again_is_the_same(copy: Copy) -> None:
    assert freeze(copy.root) == []
    before = {path: (copy.root / path).read_text() for path in copy.changed()}
    assert freeze(copy.root) == []
    assert before == {path: (copy.root / path).read_text() for path in copy.changed()}


@pytest.mark.parametrize(
    ("entry", "label", "told"),
    [
        ("- `RemoteEnv.reset` has another order.", Stability.EXPERIMENTAL, True),
        ("- `RemoteEnv.reset` has another order.", Stability.STABLE, False),
        ("- `rlmesh.RemoteEnv.reset(seed)`: no seed. Migration: use it.", Stability.STABLE, True),
        ("- `RemoteEnv.resets` has another order.", Stability.EXPERIMENTAL, False),
        ("- RemoteEnv.reset has another order.", Stability.EXPERIMENTAL, False),
        ("- `RemoteEnv.reset` goes. Migration:", Stability.STABLE, False),
        ("## [0.0.1]\n\n- `RemoteEnv.reset` went.", Stability.EXPERIMENTAL, False),
    ],
)
def test_an_entry_names_a_thing_in_backquotes(
    copy: Copy, entry: str, label: Stability, told: bool
) -> None:
    (copy.root / "CHANGELOG.md").write_text(f"# Changelog\n\n## [Unreleased]\n\n{entry}\n")
    broken = Break("rlmesh.RemoteEnv.reset", label, "the parameter `seed` is gone")
    assert (untold(copy.root, [broken]) == []) is told


def test_a_thing_is_called_by_its_class_or_by_its_own_name() -> None:
    names = {
        "rlmesh.RemoteEnv.reset": "RemoteEnv.reset",
        "rlmesh.spaces.Box.__init__": "Box",
        "rlmesh.spaces.from_gymnasium_space": "from_gymnasium_space",
        "DictSpace.keep_order": "DictSpace.keep_order",
    }
    assert {name: told_as(name) for name in names} == names


def test_the_command_is_quiet_where_all_promises_are_kept() -> None:
    result = run("--stability")
    assert (result.exit_code, result.output) == (0, "")


def test_the_command_fails_with_the_lines(copy: Copy) -> None:
    swap(ENV, "def close(self)", "def end(self)")(copy.root)
    result = run("--stability", f"--root={copy.root}")
    assert result.exit_code == 1
    assert result.stderr.startswith(RENAMED)
    assert result.stdout == ""


def test_only_one_thing_is_done_at_a_time() -> None:
    assert run("--stability", "--baseline").exit_code == 2


def test_the_record_holds_the_schema_that_was_promised() -> None:
    files = json.loads((ROOT / "baseline/record.json").read_text())["files"]
    assert {file for file in files if file.endswith(".proto")} == {
        f"baseline/{path.relative_to(ROOT)}" for path in (ROOT / "schema").rglob("*.proto")
    }
