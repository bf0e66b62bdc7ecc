"""Configuration: `upstreams.toml` and `policies/*.toml` -> frozen settings and a policy, or every problem in them.

Offline, and of nothing but these files: no upstream is started, no working directory searched; and no reference is
resolved, but where `check` looks how strong the values of variables and files are.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

from gateway.config.nouns import (
    ActsAs,
    Approver,
    Auth,
    ClientEntry,
    Gateway,
    Keeper,
    Limits,
    Notify,
    Recording,
    Settings,
    Upstream,
)
from gateway.config.read import read_settings
from gateway.config.references import expand, resolve
from gateway.config.trust import distrust, read_trusted
from gateway.config.weak import note_weak
from gateway.core.policy import Known, Policy, parse
from gateway.core.problems import Problem, Severity
from gateway.core.section import Document
from gateway.errors import ConfigurationError
from gateway.place import config_file

__all__ = [
    "ActsAs",
    "Approver",
    "Auth",
    "ClientEntry",
    "Gateway",
    "Keeper",
    "Limits",
    "Notify",
    "Recording",
    "Settings",
    "Upstream",
    "check",
    "expand",
    "load_policy",
    "load_settings",
    "resolve",
]


def load_settings(config: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of `--config` (file or folder), else `WARDGATE_CONFIG`, else the platform's folder.

    Raises `ConfigurationError` with every problem; warnings are kept in the settings.
    """
    settings, problems = _settings(config_file(config, environ))
    _stop_at_errors(problems)
    assert settings is not None  # a file that can't be read is an error
    return replace(settings, warnings=problems)


def load_policy(settings: Settings, today: date | None = None) -> Policy:
    """The policy of `policies/*.toml`, with its conditions compiled; raises `ConfigurationError` with every problem."""
    policy, problems = _policy(settings.gateway.policies, settings.root, settings.known(), today)
    _stop_at_errors(problems)
    return policy


def check(
    config: Path | None, environ: Mapping[str, str] | None = None, today: date | None = None
) -> tuple[Problem, ...]:
    """Every problem of a configuration and its policies, errors first, without starting anything."""
    around = os.environ if environ is None else environ
    file = config_file(config, around)
    settings, problems = _settings(file, around)
    folder = settings.gateway.policies if settings else file.parent / "policies"
    known = settings.known() if settings else Known()
    _, more = _policy(folder, file.parent, known, today)
    return tuple(sorted((*problems, *more), key=lambda problem: (problem.severity is Severity.WARNING, problem)))


def _settings(file: Path, environ: Mapping[str, str] | None = None) -> tuple[Settings | None, tuple[Problem, ...]]:
    """The settings, and what is wrong in them; with `environ`, also which values are too weak to be searched for."""
    text, problems = read_trusted(file, file.name)
    if problems:
        return None, problems
    document = Document(file.name, text)
    if not document.readable:
        return None, tuple(document.problems)
    settings = read_settings(document, file)
    if environ is not None:
        note_weak(document, settings, environ)
    return settings, tuple(sorted(document.problems))


def _policy(folder: Path, root: Path, known: Known, today: date | None) -> tuple[Policy, tuple[Problem, ...]]:
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    shown = _shown(folder, root)
    if not folder.is_dir():
        missing = "no such folder: every tool is unlabelled, and people are asked about every call"
        severity = Severity.WARNING if folder == root / "policies" else Severity.ERROR
        return parse({})[0], (Problem(shown, 0, "", "", str(folder), missing, severity=severity),)
    problems += [Problem(shown, 0, "", "", str(folder), reason) for reason in distrust(folder)]
    for path in sorted(folder.glob("*.toml")):
        if path.name.endswith(".test.toml"):
            continue
        name = _shown(path, root)
        text, found = read_trusted(path, name)
        problems += [problem for problem in found if problem.message not in {other.message for other in problems}]
        if not found:
            texts[name] = text
    policy, wrong = parse(texts, known, today)
    return policy, (*problems, *wrong)


def _shown(path: Path, root: Path) -> str:
    """A path as messages and records name it: relative to the configuration's folder."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _stop_at_errors(problems: tuple[Problem, ...]) -> None:
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors:
        more = f" (and {len(errors) - 1} more; `wardgate check` lists them)" if len(errors) > 1 else ""
        raise ConfigurationError(f"{errors[0]}{more}", problems)
