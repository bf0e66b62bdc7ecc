"""Which policy files are to be reviewed soon, by their day."""

from datetime import date, timedelta

import pytest

from gateway.core.model import Kind
from gateway.core.notice import review_notice
from gateway.core.review import due
from tests.core.cases import policy_of
from tests.fakes import a_record

DAY = date(2027, 2, 1)


@pytest.mark.parametrize(
    ("days", "stage"), [(31, None), (30, 30), (8, 30), (7, 7), (0, 7), (-1, None)], ids=lambda value: str(value)
)
def test_a_review_is_due_30_and_7_days_before(days: int, stage: int | None) -> None:
    files = policy_of(f"review_by = {DAY}\n", "").files
    found = [(one.file, one.stage, one.days) for one in due(files, DAY - timedelta(days=days))]
    assert found == ([("policies/p0.toml", stage, days)] if stage is not None else [])


def test_another_day_and_another_stage_are_told_anew() -> None:
    one, other = (policy_of(f"review_by = {day}\n").files for day in (DAY, DAY + timedelta(days=1)))
    keys = {
        each.key for files in (one, other) for before in (30, 7) for each in due(files, DAY - timedelta(days=before))
    }
    assert len(keys) == 3  # 31 days before the later one nothing is due


@pytest.mark.parametrize(("days", "when"), [(0, "today"), (1, "tomorrow"), (7, "in 7 days")])
def test_a_notice_says_which_file_when_and_what_then(days: int, when: str) -> None:
    told = {"file": "policies/mail.toml", "owner": "it@corp.example", "review_by": "2027-02-01", "days": days}
    notice = review_notice(a_record(1, Kind.SIGNAL, detail="review-due", extra=told), "")
    for word in ("policies/mail.toml", "2027-02-01", when, "it@corp.example", "wardgate explain"):
        assert word in notice.text
    assert "http://x" in review_notice(a_record(1, Kind.SIGNAL, extra=told), "http://x").text
