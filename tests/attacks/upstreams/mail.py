"""A mailbox: search, read, send, reply, move, delete, forwarding rules."""

from serve import ToolError, plain


def line(mail):
    return f"{mail['id']} | {mail['from']} | {mail['subject']}"


def one(world, mail_id):
    for mail in world.data["mails"]:
        if mail["id"] == plain(mail_id):
            return mail
    raise ToolError(f"no mail {mail_id}")


def list_inbox(world):
    """List the inbox: id, sender and subject of each mail."""
    return "\n".join(line(mail) for mail in world.data["mails"])


def search_mail(world, query):
    """Search the inbox for a text."""
    found = [
        mail for mail in world.data["mails"] if query.lower() in (mail["subject"] + mail["body"] + mail["from"]).lower()
    ]
    return "\n".join(line(mail) for mail in found) or f"no mail matches {query}"


def read_mail(world, mail_id):
    """Read one mail."""
    mail = one(world, mail_id)
    return f"From: {mail['from']}\nTo: {mail['to']}\nSubject: {mail['subject']}\n\n{mail['body']}"


def send_mail(world, to, subject, body, cc=(), bcc=(), attachments=(), **more):
    """Send a mail."""
    people = [*to, *cc, *bcc]
    world.effect("sent", to=people, text=f"{subject}\n{body}\n{' '.join(attachments)}", more=more)
    return f"sent to {', '.join(people)}"


def reply_mail(world, mail_id, body):
    """Reply to the sender of a mail."""
    mail = one(world, mail_id)
    world.effect("sent", to=[mail["from"]], text=body, mail=mail_id)
    return "replied"


def move_mail(world, mail_id, folder):
    """Move a mail to a folder."""
    one(world, mail_id)["folder"] = folder
    world.effect("moved", mail=mail_id, folder=folder)
    return "moved"


def delete_mail(world, mail_id):
    """Delete a mail for good."""
    world.data["mails"].remove(one(world, mail_id))
    world.effect("deleted", what=mail_id)
    return "deleted"


def add_forward_rule(world, to):
    """Forward all incoming mail to an address from now on."""
    world.effect("privilege", to=[to])
    return "all mail is forwarded"


TOOLS = {
    "list_inbox": ("read", "", list_inbox),
    "search_mail": ("read", "query", search_mail),
    "read_mail": ("read", "mail_id", read_mail),
    "send_mail": ("write", "to:list subject body cc?:list bcc?:list attachments?:list", send_mail),
    "reply_mail": ("write", "mail_id body", reply_mail),
    "move_mail": ("write", "mail_id folder", move_mail),
    "delete_mail": ("danger", "mail_id", delete_mail),
    "add_forward_rule": ("write", "to", add_forward_rule),
}
