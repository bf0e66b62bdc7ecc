"""What the ends of message streams have in common, as the SDK's dispatcher uses them. They carry nothing themselves."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import anyio
from mcp.shared.message import SessionMessage


class Closing(ABC):
    """An end that is closed with the block that it is used in."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close this end."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class ReadEnd(Closing):
    """The end that messages come out of: `receive` says what is next, and raises `EndOfStream` when nothing is."""

    @abstractmethod
    async def receive(self) -> SessionMessage | Exception:
        """The next message, or what came instead of one."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None
