"""docs/record.md says what there is: every field and kind of a record, every place that an uninstall removes."""

import re
from pathlib import Path

from gateway import schema
from gateway.core.model import Kind, Record

PAGE = (Path(__file__).parents[1] / "docs" / "record.md").read_text(encoding="utf-8")


def first_cells(heading: str) -> list[str]:
    """The names in the first column of the table under a header cell."""
    table = PAGE.split(f"\n| {heading} |")[1].split("\n\n")[0]
    return [name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_field_of_a_record_is_documented_and_no_other() -> None:
    told = first_cells("field")
    assert len(told) == len(set(told))
    assert set(told) == {"seq", *Record.__struct_fields__}


def test_every_kind_of_a_record_is_documented_and_no_other() -> None:
    assert first_cells("kind") == [kind.value for kind in Kind]


def test_the_keys_and_files_are_called_as_they_are() -> None:
    assert first_cells("file") == [schema.KEY_NAME, schema.SIGNING_NAME, f"{schema.OLD_KEYS_NAME}/"]
    for name in (schema.STORE_NAME, schema.ID_NAME):
        assert f"`{name}`" in PAGE
