"""What a gateway tells of itself: names and numbers of each upstream, and what is wrong in its files."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.app.status import MOST_NAMES, StatusCommands
from gateway.core.exposed import expose
from gateway.core.model import Place, Tool, ToolRef
from tests.fakes import a_tool

pytestmark = pytest.mark.may_block(reason="the desktop is looked for on the PATH, once when asked")


def offered(*names: str, **more: Any) -> tuple[Tool, ...]:
    """Tools of the upstream `files`, under the names that clients see."""
    exposed = expose("files", names)
    return tuple(replace(a_tool(), ref=ToolRef("files", name), exposed_as=exposed[name], **more) for name in names)


async def told(tools: tuple[Tool, ...], config: Path | None = None, **request: Any) -> Mapping[str, Any]:
    """What is told of a gateway with one upstream that offers these tools."""
    waited: list[str] = []

    async def wait() -> None:
        waited.append("x")

    catalogue = SimpleNamespace(
        offered=lambda kind, only: tools if kind == "tools" else (),
        shelved=lambda upstream, kind: tools if kind == "tools" else (),
    )
    gateway = SimpleNamespace(
        upstreams=SimpleNamespace(
            catalogue=catalogue,
            states=lambda: {"files": ("ready", "")},
            started=lambda name: ("2025-11-25", 1.23456),
            settled=wait,
        ),
        screener=SimpleNamespace(left_out={}),
        reload=SimpleNamespace(status=dict),
        scanner=SimpleNamespace(loaded=True, ready=wait),
        flows=SimpleNamespace(status=dict),
        settings=SimpleNamespace(file=config),
    )
    commands = StatusCommands(gateway)  # type: ignore[arg-type]  # as much of it as is asked
    answer = await commands.handlers()[request.pop("op", "status")](request, "ada")
    return {**answer, "waited": len(waited)}


async def test_an_upstream_is_told_by_numbers() -> None:
    (row,) = (await told(offered("read", "write")))["items"]
    assert (row["tools"], row["era"], row["seconds"]) == (2, "2025-11-25", 1.235)
    assert row["longest"] == ["files__write", "files__read"]


async def test_what_nobody_labelled_and_what_is_held_is_named_as_far_as_it_goes() -> None:
    (row,) = (await told(offered(*"abcdefg", held="new")))["items"]
    for key in ("unlabelled", "held"):
        assert (row[key]["count"], len(row[key]["names"])) == (7, MOST_NAMES)
    labelled = replace(a_tool().labels, at=Place("a.toml", 1))
    (row,) = (await told(offered("a", labels=labelled)))["items"]
    assert (row["unlabelled"]["count"], row["held"]["count"]) == (0, 0)


async def test_names_that_became_equal_are_told_and_names_that_were_cut_are_not() -> None:
    (row,) = (await told(offered("a.b", "a/b", "a_b", "n" * 60)))["items"]
    assert row["collided"]["count"] == 2


async def test_it_waits_for_the_first_start_only_where_that_is_asked_for() -> None:
    assert (await told(()))["waited"] == 0
    assert (await told((), settled=True))["waited"] == 2


async def test_what_is_wrong_in_the_files_is_told_as_check_does(tmp_path: Path) -> None:
    (tmp_path / "upstreams.toml").write_text("schema = 2\n", encoding="utf-8")
    items = (await told((), tmp_path / "upstreams.toml", op="check"))["items"]
    assert {"what", "where", "found", "do", "severity"} == set(items[0])
    assert "schema" in {item["what"] for item in items}
