"""Read what an upstream is trusted with: whose authority it uses, its token (`oauth`), what its sandbox shows it.

Resolves no reference and looks at no file.
"""

import os
import re
from pathlib import Path

from gateway.config.nouns import ActsAs, OAuth, Upstream
from gateway.config.references import WORKSPACE, flaw, split_reference
from gateway.core.section import Section

GRANTS = ("authorization_code", "client_credentials")
SANDBOX_KEYS = ("sandbox_read", "sandbox_write", "sandbox_network")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, appendix A.4


def read_acts_as(section: Section) -> ActsAs | None:
    """Whose authority an upstream's calls use, where it says so."""
    if "acts_as" not in section:
        section.raw("acts_as")
        return None
    table = section.section("acts_as")
    acts_as = ActsAs(
        identity=table.text("identity", expected="whose authority a call uses"),
        kind=table.word("kind", ("human", "service", "agent"), "human"),
        scopes=table.texts("scopes"),
    )
    for key in ("identity", "kind"):
        if key not in table:
            table.required(key, "whose authority a call uses" if key == "identity" else "human, service or agent")
    table.close()
    return acts_as


def read_oauth(section: Section) -> OAuth | None:
    """How the gateway gets a token of its own for an HTTP upstream, where it needs one."""
    if "oauth" not in section:
        section.raw("oauth")
        return None
    table = section.section("oauth")
    oauth = OAuth(
        grant=table.word("grant", GRANTS, "authorization_code"),
        client_id=table.text("client_id", expected="the id that this gateway has at the authorization server"),
        client_secret=_secret(table),
        scopes=table.texts("scopes", "a list of scopes"),
    )
    for scope in oauth.scopes:
        if not _SCOPE.fullmatch(scope):
            table.problem("scopes", f"expected a scope without spaces and quotes, found `{scope}`", scope)
    if oauth.client_secret and not oauth.client_id:
        table.required("client_id", "the id that the secret belongs to")
    elif oauth.grant == "client_credentials":
        for key in ("client_id", "client_secret"):
            if key not in table:
                table.required(key, "it, since `client_credentials` proves itself by id and secret")
    table.close()
    return oauth


def _secret(table: Section) -> str:
    value = table.text("client_secret", expected="a reference such as `keyring:SERVICE/NAME`")
    if value and not split_reference(value)[0]:
        table.problem("client_secret", "expected a reference such as `env:NAME` or `keyring:SERVICE/NAME`")
        return ""
    if value and (wrong := flaw(value)):
        table.problem("client_secret", wrong)
    return value


def read_shown(section: Section, key: str, base: Path) -> tuple[Path, ...]:
    """The paths that a sandbox shows; one that begins with `${WORKSPACE}` is kept so, the others are absolute."""
    shown: list[Path] = []
    for text in section.texts(key, "a list of paths"):
        variables = re.findall(r"\$\{([^}]*)\}", text)
        inner = text == WORKSPACE or text.startswith(f"{WORKSPACE}/")
        if "\x00" in text:
            section.problem(key, "expected no NUL in a path")
        elif (variables or "${" in text) and (not inner or len(variables) != 1):
            section.problem(key, f"expected `{WORKSPACE}` at the beginning and no other variable, found `{text}`", text)
        elif inner and ".." in Path(text).parts:
            section.problem(key, f"expected no `..` behind `{WORKSPACE}`", text)
        else:
            shown.append(Path(text) if inner else Path(os.path.normpath(base / Path(text).expanduser())))
    return tuple(shown)


def check_sandbox(section: Section, upstream: Upstream) -> None:
    """Note what can't work: keys without a sandbox, a path in both lists, a workspace that it isn't shown."""
    if upstream.sandbox == "none":
        for key in SANDBOX_KEYS:
            if key in section:
                section.problem(key, 'expected only with `sandbox = "bwrap"`', key)
        return
    for path in upstream.sandbox_read:
        if path in upstream.sandbox_write:
            section.problem("sandbox_read", f"`{path}` stands in `sandbox_write` too: leave it in one of them")
    for key, paths in (("sandbox_read", upstream.sandbox_read), ("sandbox_write", upstream.sandbox_write)):
        for path in paths:
            if path == Path("/") or path.parts[1:2] in (("proc",), ("sys",), ("dev",)):
                section.problem(key, f"expected no folder of the system itself, found `{path}`", str(path))
    shown = (*upstream.sandbox_read, *upstream.sandbox_write)
    if any(WORKSPACE in arg for arg in upstream.args) and not any(path.parts[0] == WORKSPACE for path in shown):
        section.warn(
            "args", f"names `{WORKSPACE}`, which its sandbox doesn't show: add it to `sandbox_read` or `sandbox_write`"
        )
