"""Configuration: `upstreams.toml` and `policies/*.toml` -> frozen settings and a policy, or every problem in them.

Offline, and of nothing but these files: no upstream is started, no working directory searched; and no reference is
resolved, but where `check` looks how strong the values of variables and files are.
"""

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from msgspec.structs import replace

from gateway.config.locked import load_lock, lock_file, lock_problems
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
    "load_lock",
    "load_policy",
    "load_policy_at",
    "load_settings",
    "lock_file",
    "policy_of",
    "policy_tests",
    "policy_texts",
    "resolve",
    "settings_of",
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
    return policy_of(policy_texts(settings), settings.known(), today)


def policy_texts(settings: Settings) -> Mapping[str, str]:
    """The texts of `policies/*.toml` by name, as they are on the disk now; raises `ConfigurationError` for one that
    can't be read, or that others may write.
    """
    texts, problems = _texts(settings.gateway.policies, settings.root)
    _stop_at_errors(problems)
    return texts


def policy_of(texts: Mapping[str, str], known: Known, today: date | None = None) -> Policy:
    """The policy of some texts, with its conditions compiled; raises `ConfigurationError` with every problem. Dates in
    it are compared with `today`, or with the present day.
    """
    policy, problems = parse(texts, known, today or datetime.now(UTC).date())
    _stop_at_errors(problems)
    return policy


def load_policy_at(folder: Path, settings: Settings, today: date | None = None) -> Policy:
    """The policy of another folder than the configured one, which is not put in force; raises `ConfigurationError`
    with every problem, and where there is no such folder.
    """
    policy, problems = _policy(folder, folder.parent, settings.known(), today)
    _stop_at_errors(problems)
    return policy


def policy_tests(settings: Settings, folder: Path | None = None) -> tuple[tuple[str, str, tuple[Problem, ...]], ...]:
    """The texts of `*.test.toml` in the folder of policies, or in another one (as for `load_policy_at`), each with the
    name that messages give it, and why it can't be read.
    """
    where, root = (folder, folder.parent) if folder is not None else (settings.gateway.policies, settings.root)
    files = sorted(where.glob("*.test.toml"))
    return tuple((name, *read_trusted(path, name)) for path in files if (name := _shown(path, root)))


def check(
    config: Path | None,
    environ: Mapping[str, str] | None = None,
    today: date | None = None,
    *,
    unlocked: bool = False,
) -> tuple[Problem, ...]:
    """Every problem of a configuration, its policies and its lock, errors first, without starting anything; with
    `unlocked` also that there is no lock.
    """
    around = os.environ if environ is None else environ
    file = config_file(config, around)
    settings, problems = _settings(file, around)
    folder = settings.gateway.policies if settings else file.parent / "policies"
    known = settings.known() if settings else Known()
    policy, more = _policy(folder, file.parent, known, today)
    errors = any(problem.severity is Severity.ERROR for problem in (*problems, *more))
    locked = tuple(lock_problems(settings, policy, unlocked)) if settings is not None and not errors else ()
    found = (*problems, *more, *locked)
    return tuple(sorted(found, key=lambda problem: (problem.severity is Severity.WARNING, problem)))


def settings_of(text: str, file: Path) -> Settings:
    """The settings that a text would give as `file`; raises `ConfigurationError` with every problem."""
    document = Document(file.name, text)
    settings = replace(read_settings(document, file), text=text) if document.readable else None
    _stop_at_errors(tuple(sorted(document.problems)))
    assert settings is not None  # what can't be read is an error
    return settings


def _settings(file: Path, environ: Mapping[str, str] | None = None) -> tuple[Settings | None, tuple[Problem, ...]]:
    """The settings, and what is wrong in them; with `environ`, also which values are too weak to be searched for."""
    text, problems = read_trusted(file, file.name)
    if problems:
        return None, problems
    document = Document(file.name, text)
    if not document.readable:
        return None, tuple(document.problems)
    settings = replace(read_settings(document, file), text=text)
    if environ is not None:
        note_weak(document, settings, environ)
    return settings, tuple(sorted(document.problems))


def _policy(folder: Path, root: Path, known: Known, today: date | None) -> tuple[Policy, tuple[Problem, ...]]:
    texts, problems = _texts(folder, root)
    policy, wrong = parse(texts, known, today)
    return policy, (*problems, *wrong)


def _texts(folder: Path, root: Path) -> tuple[Mapping[str, str], tuple[Problem, ...]]:
    """The texts of the policies, and why some of them can't be taken."""
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    shown = _shown(folder, root)
    if not folder.is_dir():
        missing = "no such folder: every tool is unlabelled, and people are asked about every call"
        severity = Severity.WARNING if folder == root / "policies" else Severity.ERROR
        return {}, (Problem(shown, 0, "", "", str(folder), missing, severity=severity),)
    problems += [Problem(shown, 0, "", "", str(folder), reason) for reason in distrust(folder)]
    for path in sorted(folder.glob("*.toml")):
        if path.name.endswith(".test.toml"):
            continue
        name = _shown(path, root)
        text, found = read_trusted(path, name)
        problems += [problem for problem in found if problem.message not in {other.message for other in problems}]
        if not found:
            texts[name] = text
    return texts, tuple(problems)


def _shown(path: Path, root: Path) -> str:
    """A path as messages and records name it: relative to the configuration's folder."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _stop_at_errors(problems: tuple[Problem, ...]) -> None:
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors:
        more = f" (and {len(errors) - 1} more; `wardgate check` lists them)" if len(errors) > 1 else ""
        raise ConfigurationError(f"{errors[0]}{more}", problems)
