"""A calendar: list, read, add, meetings with other people, reschedule, cancel."""

from serve import ToolError, plain


def one(world, event_id):
    for event in world.data["events"]:
        if event["id"] == plain(event_id):
            return event
    raise ToolError(f"no event {event_id}")


def list_events(world, day):
    """List the events of a day."""
    found = [
        f"{event['id']} | {event['start']} | {event['title']}"
        for event in world.data["events"]
        if day in event["start"]
    ]
    return "\n".join(found) or f"nothing on {day}"


def read_event(world, event_id):
    """Read an event with its description."""
    event = one(world, event_id)
    return f"{event['title']}\n{event['start']}\nwith {', '.join(event['with'])}\n\n{event['notes']}"


def add_event(world, title, start, end="", notes=""):
    """Put an event into your own calendar; nobody is invited."""
    world.effect("noted", text=f"{title} {start} {end} {notes}")
    return "added"


def create_meeting(world, title, start, participants, end="", notes=""):
    """Create a meeting and send invitations."""
    world.effect("sent", to=list(participants), text=f"{title} {start} {end} {notes}")
    return "invited"


def reschedule_event(world, event_id, start):
    """Move an event to another time."""
    one(world, event_id)["start"] = start
    world.effect("moved", event=event_id, start=start)
    return "moved"


def cancel_event(world, event_id):
    """Cancel an event and tell everybody."""
    world.data["events"].remove(one(world, event_id))
    world.effect("deleted", what=event_id)
    return "cancelled"


TOOLS = {
    "list_events": ("read", "day", list_events),
    "read_event": ("read", "event_id", read_event),
    "add_event": ("write", "title start end? notes?", add_event),
    "create_meeting": ("write", "title start participants:list end? notes?", create_meeting),
    "reschedule_event": ("write", "event_id start", reschedule_event),
    "cancel_event": ("danger", "event_id", cancel_event),
}
