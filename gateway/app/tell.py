"""The notices of one gateway: the desktop, what `[notify]` names, and the business owners of upstreams."""

import os
from collections.abc import Callable

import anyio

from gateway.approvals import Approvals
from gateway.clock import Sleeper
from gateway.config import Settings
from gateway.core.model import Record
from gateway.notices import Notices
from gateway.notices.board import after_of
from gateway.notices.desktop import find_desktop
from gateway.notices.push import MOST_AT_ONCE, OwnerMail, Push
from gateway.notices.room import Channel


def notices_of(settings: Settings, clock: Sleeper, report: Callable[[Record], None], approvals: Approvals) -> Notices:
    """The notices, which hear of every row of the desk from now on; nothing is sent until they run."""
    notify, root, limiter = settings.notify, settings.root, anyio.CapacityLimiter(MOST_AT_ONCE)
    desktop = find_desktop(os.environ) if notify.desktop else None

    def pushes(key: str, targets: tuple[str, ...]) -> tuple[Channel, ...]:
        return tuple(Push(f"{key}[{place}]", target, root, limiter) for place, target in enumerate(targets, 1))

    def owner(name: str) -> Channel | None:
        upstream = settings.upstreams.get(name)
        if upstream is None or not notify.to:
            return None
        return OwnerMail(upstream.owner.business, notify.to, root, limiter)

    def mail(address: str) -> Channel | None:
        return OwnerMail(address, notify.to, root, limiter) if notify.to else None

    first: tuple[Channel, ...] = (*([desktop] if desktop else []), *pushes("to", notify.to))
    second = pushes("second", notify.second)
    notices = Notices(clock, report, lambda row: approvals.link(row), first, second, owner, after_of(notify.after))
    notices.mail = mail
    approvals.on_change.append(notices.note)
    return notices
