"""The face to upstreams: supervise, negotiate, list, relay; the catalogue of their tools and its digests.

Nothing here decides on a call, and nothing here repeats one.
"""

from gateway.upstreams.catalogue import Catalogue, Classify
from gateway.upstreams.fleet import Upstreams
from gateway.upstreams.spec import UpstreamSpec, spec_of
from gateway.upstreams.subscriptions import Updated

__all__ = ["Catalogue", "Classify", "Updated", "UpstreamSpec", "Upstreams", "spec_of"]
