"""What a command runs: the package, image, module or script that its arguments name. No I/O here.

It guesses nothing: for a program that isn't known to launch others it says nothing.
"""

from collections.abc import Sequence

_RUNNERS = {  # program -> words before the package, and the options that name it
    "npx": ((), ("-p", "--package")),
    "bunx": ((), ("-p", "--package")),
    "uvx": ((), ("--from",)),
    "npm": (("exec",), ("--package",)),
    "pnpm": (("dlx",), ("--package",)),
    "yarn": (("dlx",), ("-p", "--package")),
    "bun": (("x",), ()),
    "uv": (("tool", "run"), ("--from",)),
    "pipx": (("run",), ("--spec",)),
}
_CONTAINERS = ("docker", "podman", "nerdctl")
_ALONE = frozenset(("-i", "-t", "-it", "-ti", "-d", "--rm", "--init", "--privileged", "--read-only", "--interactive"))
_INTERPRETERS = ("python", "node", "deno", "bun", "ruby", "perl", "php", "java", "sh", "bash", "tsx", "ts-node")
_TAKE_ONE = frozenset(("-W", "-X", "-r", "--require", "--import", "--loader", "-cp", "-classpath"))


def package_of(command: str, args: Sequence[str]) -> str:
    """The package with its version where that is said, the image, the module or the script; empty if none is named."""
    name = command.replace("\\", "/").rpartition("/")[2].lower().removesuffix(".exe").removesuffix(".cmd")
    if name in _RUNNERS and (found := _of_runner(args, *_RUNNERS[name])):
        return found
    if name in _CONTAINERS:
        return _image(args)
    return _script(args) if name.startswith(_INTERPRETERS) else ""


def _of_runner(args: Sequence[str], before: Sequence[str], naming: Sequence[str]) -> str:
    words = list(args)
    for word in before:
        if word not in words:
            return ""
        words = words[words.index(word) + 1 :]
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in naming:
            return value if equals else next(iter(words[at + 1 : at + 2]), "")
        if not word.startswith("-"):
            return word
    return ""


def _image(args: Sequence[str]) -> str:
    """The image of `run`: the first word that is neither an option nor the value of one."""
    if "run" not in args:
        return ""
    words = iter(args[args.index("run") + 1 :])
    for word in words:
        if not word.startswith("-"):
            return word
        if "=" not in word and word not in _ALONE:
            next(words, "")
    return ""


def _script(args: Sequence[str]) -> str:
    words = iter(args)
    for word in words:
        if word in ("-m", "-jar"):
            return next(words, "")
        if word in ("-c", "-e", "--eval"):
            return ""
        if word in _TAKE_ONE:
            next(words, "")
        elif not word.startswith("-"):
            return word
    return ""
