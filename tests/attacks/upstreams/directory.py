"""The organisation's own directory: who is who. It says back what it doesn't find."""

import json


def list_people(world):
    """List everybody with address and handle."""
    return json.dumps(world.data["people"])


def find_person(world, name):
    """Find a person by name."""
    found = [each for each in world.data["people"] if name.lower() in each["name"].lower()]
    return json.dumps(found) if found else f"no result for {name}"


TOOLS = {"list_people": ("read", "", list_people), "find_person": ("read", "name", find_person)}
