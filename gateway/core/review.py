"""Which policy files are to be reviewed soon, and when their owners are told. No I/O here."""

from collections.abc import Iterable, Iterator
from datetime import date

from msgspec import Struct

from gateway.core.policy import PolicyFile

STAGES = (7, 30)  # days before `review_by`, the nearest first
SIGNAL = "review-due"


class Due(Struct, frozen=True):
    """A file whose review is due: in how many days, and of which stage that is."""

    file: str
    owner: str
    review_by: date
    days: int
    stage: int

    @property
    def key(self) -> str:
        """What tells it from every other review and stage."""
        return f"review.{self.file}.{self.review_by}.{self.stage}"


def due(files: Iterable[PolicyFile], today: date) -> Iterator[Due]:
    """The files to be reviewed within the largest of the stages; nothing is said of one whose day has passed."""
    for file in files:
        if file.review_by is None:
            continue
        days = (file.review_by - today).days
        stage = next((stage for stage in STAGES if days <= stage), None)
        if days >= 0 and stage is not None:
            yield Due(file.name, file.owner.business, file.review_by, days, stage)
