"""What differs between two policies, as a value."""

from msgspec import Struct


class Difference(Struct, frozen=True):
    """One thing that differs: the file or list where it stands, what it is in words for a person, and whether it may
    let more through than before.
    """

    where: str
    what: str
    loosens: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"
