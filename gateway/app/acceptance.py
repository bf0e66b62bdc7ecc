"""Who accepted the policy that is in force, and when: looked up in the record, or noted there for the first time.

It loads no policy and judges none.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.core.model import Kind, Record
from gateway.core.policy import Policy
from gateway.core.record import decode, stamp
from gateway.ids import ENTRY, new_id
from gateway.ports import Clock
from gateway.records import Records
from gateway.store import Query, Store

_KEYS = ("accepted_by", "accepted_at", "accepted_how")


async def accept(
    policy: Policy, store: Store, records: Records, clock: Clock, user: str, how: str = "at start"
) -> Policy:
    """The policy with who accepted its revision, and `how` where it is a new one; that it was loaded is recorded.

    The first one that a state folder sees is taken as it is, and so is a changed one that `user` starts the gateway
    with. Raises `RecordError` if that can't be recorded.
    """
    page = await store.page(Query(filters={"kind": Kind.POLICY.value}, limit=1))
    last = decode(page[0][1])[1] if page else None
    now = clock.now()
    if last is not None and last.policy_revision == policy.revision:
        accepted = {key: str(last.extra.get(key, "")) for key in _KEYS}
    else:
        accepted = dict(zip(_KEYS, (user, stamp(now), how if last is not None else "first seen"), strict=True))
    about = {**accepted, "before": last.policy_revision if last is not None else "", "files": _files(policy)}
    await records.append(Record(Kind.POLICY, new_id(ENTRY), now, policy_revision=policy.revision, extra=about))
    return replace(policy, accepted=accepted)


def _files(policy: Policy) -> Mapping[str, Mapping[str, Any]]:
    """What a reader of the record wants to know of each file; its text is the user's to keep."""
    return {
        file.name: {
            "owner": file.owner.business,
            "technical_owner": file.owner.technical,
            "upstream": file.upstream,
            "rules": len(file.rules),
            "labels": len(file.tools),
            "review_by": str(file.review_by or ""),
        }
        for file in policy.files
    }
