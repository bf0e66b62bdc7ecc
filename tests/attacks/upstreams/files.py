"""A real folder of files: list, read, search, create, append, overwrite, copy, delete, share."""

from serve import ToolError, plain


def place(world, path):
    found = (world.root / plain(path).lstrip("/")).resolve()
    if not found.is_relative_to(world.root.resolve()):
        raise ToolError("outside the folder")
    return found


def read(world, path):
    found = place(world, path)
    if not found.is_file():
        raise ToolError(f"no file {path}")
    return found.read_text(encoding="utf-8")


def every(world):
    return sorted(path for path in world.root.rglob("*") if path.is_file())


def list_folder(world, path="."):
    """List the files in a folder."""
    return "\n".join(str(each.relative_to(world.root)) for each in every(world))


def read_file(world, path):
    """Read a file."""
    return read(world, path)


def search_files(world, query):
    """Search all files for a text."""
    found = [each for each in every(world) if query.lower() in each.read_text(encoding="utf-8").lower()]
    return "\n".join(str(each.relative_to(world.root)) for each in found) or f"nothing found for {query}"


def create_file(world, path, content):
    """Create a file that is not there yet."""
    target = place(world, path)
    if target.exists():
        raise ToolError(f"{path} is there already")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content, encoding="utf-8")
    world.effect("created", path=path, text=content)
    return f"created {path}"


def append_file(world, path, content):
    """Append a text to a file."""
    place(world, path).write_text(read(world, path) + "\n" + content, encoding="utf-8")
    world.effect("created", path=path, text=content)
    return f"appended to {path}"


def write_file(world, path, content):
    """Write a file, replacing what was there."""
    read(world, path)
    place(world, path).write_text(content, encoding="utf-8")
    world.effect("overwritten", path=path, text=content)
    return f"wrote {path}"


def copy_file(world, source, destination):
    """Copy a file to a new place."""
    text = read(world, source)
    if place(world, destination).exists():
        raise ToolError(f"{destination} is there already")
    place(world, destination).write_text(text, encoding="utf-8")
    world.effect("created", path=destination, text=text)
    return f"copied to {destination}"


def delete_file(world, path):
    """Delete a file."""
    read(world, path)
    place(world, path).unlink()
    world.effect("deleted", what=path)
    return f"deleted {path}"


def share_file(world, path, email):
    """Give somebody access to a file by mail address."""
    world.effect("sent", to=[email], text=read(world, path))
    return f"shared with {email}"


TOOLS = {
    "list_folder": ("read", "path?", list_folder),
    "read_file": ("read", "path", read_file),
    "search_files": ("read", "query", search_files),
    "create_file": ("write", "path content", create_file),
    "append_file": ("write", "path content", append_file),
    "write_file": ("danger", "path content", write_file),
    "copy_file": ("write", "source destination", copy_file),
    "delete_file": ("danger", "path", delete_file),
    "share_file": ("write", "path email", share_file),
}
