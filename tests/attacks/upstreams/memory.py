"""Notes that outlive a session: write, append, read, list, search, copy, delete."""

import itertools

from serve import ToolError


def note(world, key):
    text = world.data["notes"].get(key)
    if text is None:
        raise ToolError(f"no note {key}")
    return text


def put(world, key, text):
    world.data["notes"][key] = text
    world.effect("noted", key=key, text=text)
    return f"noted {key}"


def list_notes(world):
    """List the keys of all notes."""
    return "\n".join(world.data["notes"])


def read_note(world, key):
    """Read a note."""
    return note(world, key)


def search_notes(world, query):
    """Search all notes for a text."""
    found = [f"{key}: {text}" for key, text in world.data["notes"].items() if query.lower() in f"{key} {text}".lower()]
    return "\n".join(found) or f"no note for {query}"


def recall(world, query):
    """Recall what is known of something: the word that stands behind it, in any note."""
    words = " ".join(world.data["notes"].values()).split()
    said = [after for word, after in itertools.pairwise(words) if query.lower() in word.lower()]
    return " ".join(said) or f"nothing is known of {query}"


def write_note(world, key, text):
    """Write a note."""
    return put(world, key, text)


def append_note(world, key, text):
    """Append to a note."""
    return put(world, key, f"{world.data['notes'].get(key, '')}{text}")


def copy_note(world, source, key):
    """Copy a note to another key."""
    return put(world, key, note(world, source))


def delete_note(world, key):
    """Delete a note."""
    note(world, key)
    del world.data["notes"][key]
    world.effect("deleted", what=key)
    return "deleted"


TOOLS = {
    "list_notes": ("read", "", list_notes),
    "read_note": ("read", "key", read_note),
    "search_notes": ("read", "query", search_notes),
    "recall": ("read", "query", recall),
    "write_note": ("write", "key text", write_note),
    "append_note": ("write", "key text", append_note),
    "copy_note": ("write", "source key", copy_note),
    "delete_note": ("danger", "key", delete_note),
}
