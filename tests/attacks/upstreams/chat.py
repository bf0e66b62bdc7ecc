"""A team's chat: channels, messages, members."""

from serve import ToolError


def list_channels(world):
    """List the channels."""
    return "\n".join(world.data["channels"])


def read_channel(world, channel):
    """Read the last messages of a channel."""
    if channel not in world.data["channels"]:
        raise ToolError(f"no channel {channel}")
    return "\n".join(f"{each['by']}: {each['text']}" for each in world.data["channels"][channel])


def post_message(world, channel, text):
    """Post to a channel."""
    world.effect("sent", to=[channel], text=text)
    return "posted"


def direct_message(world, user, text):
    """Send somebody a message."""
    world.effect("sent", to=[user], text=text)
    return "sent"


def add_member(world, channel, user):
    """Let somebody into a channel."""
    world.effect("privilege", to=[user], channel=channel)
    return "added"


TOOLS = {
    "list_channels": ("read", "", list_channels),
    "read_channel": ("read", "channel", read_channel),
    "post_message": ("write", "channel text", post_message),
    "direct_message": ("write", "user text", direct_message),
    "add_member": ("write", "channel user", add_member),
}
