"""A start that imports of the SDK only what it uses.

`mcp`, `mcp.server` and `mcp.client` import every client and server that the SDK has, of which the gateway uses a few
modules: here they wait until somebody asks such a package for a name, and most never do. The SDK's hundreds of
validators are built when they are first used.
"""

import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

PACKAGES = ("mcp", "mcp.server", "mcp.client")


def import_lightly() -> None:
    """Have the imports that come do so, in a process of the gateway's own; none where the SDK is imported already."""
    if "mcp" in sys.modules or "mcp_types" in sys.modules:
        return
    from pydantic import BaseModel

    BaseModel.model_config["defer_build"] = True
    for name in PACKAGES:
        _defer(name)


def _defer(name: str) -> None:
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        return  # the import that needs it says so
    module, loader = module_from_spec(spec), spec.loader

    def ask(attribute: str) -> Any:
        if module.__dict__.pop("__getattr__", None) is not None:
            loader.exec_module(module)
        try:
            return module.__dict__[attribute]
        except KeyError:
            raise AttributeError(f"module `{name}` has no attribute `{attribute}`") from None

    module.__dict__["__getattr__"] = ask
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if isinstance(holder := sys.modules.get(parent), ModuleType):
        setattr(holder, child, module)
