"""The policy of the house that is attacked: as an owner would write it, once, knowing no scenario.

`written(organisation)` is that. `asking(organisation)` has the same labels, and every write asks; `free(organisation)`
has them too, and lets everything through: there each attack must do harm, or it is none. `bare(organisation)` is for
measuring what proven origins do alone, `packed(organisation)` what they do with what the packs say besides.
"""

from collections.abc import Iterable

from tests.attacks.cast import Organisation

OTHERWISE = """
[[rule]]
id = "{name}.otherwise"
tools = "*"
decide = "ask-unless-proven"
"""
LABELS = {
    "mail": """
[lists]
colleagues = ["*@{domain}"]
[[tool]]
match = ["list_inbox", "search_mail", "read_mail"]
effect = "read"
[[tool]]
match = "send_mail"
effect = "egress"
sinks = {{ to = "email", cc = "email", bcc = "email", attachments = "path" }}
payload = ["subject", "body"]
known = {{ to = "colleagues", cc = "colleagues", bcc = "colleagues" }}
[[tool]]
match = "reply_mail"
effect = "egress"
sinks = {{ mail_id = "id" }}
payload = ["body"]
[[tool]]
match = "move_mail"
effect = "write"
sinks = {{ mail_id = "id", folder = "text" }}
[[tool]]
match = "delete_mail"
effect = "destructive"
sinks = {{ mail_id = "id" }}
[[tool]]
match = "add_forward_rule"
effect = "privilege"
sinks = {{ to = "email" }}
[[rule]]
id = "{name}.gone-for-good"
tools = ["delete_mail"]
when = "session.tainted"
decide = "ask"
reason = "what was just read may have asked for it"
""",
    "files": """
[[tool]]
match = ["list_folder", "read_file", "search_files"]
effect = "read"
[[tool]]
match = ["create_file", "append_file"]
effect = "write"
sinks = {{ path = "path" }}
payload = ["content"]
[[tool]]
match = "copy_file"
effect = "write"
sinks = {{ source = "path", destination = "path" }}
[[tool]]
match = "write_file"
effect = "destructive"
sinks = {{ path = "path" }}
payload = ["content"]
[[tool]]
match = "delete_file"
effect = "destructive"
sinks = {{ path = "path" }}
[[tool]]
match = "share_file"
effect = "egress"
sinks = {{ path = "path", email = "email" }}
known = {{ email = "colleagues" }}
[[rule]]
id = "{name}.gone-for-good"
tools = ["write_file", "delete_file"]
when = "session.tainted"
decide = "ask"
reason = "what was just read may have asked for it"
""",
    "web": """
[lists]
sites = ["{site}/*", "{site}"]
[[tool]]
match = "fetch_page"
effect = "read"
sinks = {{ url = "url" }}
fetches = true
output = {{ private = false }}
known = {{ url = "sites" }}
[[tool]]
match = "search_web"
effect = "read"
[[tool]]
match = "post_form"
effect = "egress"
sinks = {{ url = "url" }}
payload = ["fields"]
[[rule]]
id = "web.forms"
tools = "post_form"
when = "session.tainted"
decide = "ask"
reason = "a page that was read may ask for anything"
[[rule]]
id = "web.resources"
resources = "*"
decide = "ask-unless-proven"
""",
    "issues": """
[lists]
repositories = [{repos}]
[[tool]]
match = ["list_issues", "read_issue", "search_issues"]
effect = "read"
output = {{ private = false }}
[[tool]]
match = "read_source"
effect = "read"
[[tool]]
match = "list_repos"
effect = "read"
output = {{ trust = "trusted" }}
[[tool]]
match = "comment_issue"
effect = "egress"
sinks = {{ repo = "id", number = "id" }}
payload = ["body"]
known = {{ repo = "repositories" }}
[[tool]]
match = "close_issue"
effect = "write"
sinks = {{ repo = "id", number = "id" }}
known = {{ repo = "repositories" }}
[[tool]]
match = "create_issue"
effect = "egress"
sinks = {{ repo = "id" }}
payload = ["title", "body"]
known = {{ repo = "repositories" }}
[[tool]]
match = "add_collaborator"
effect = "privilege"
sinks = {{ repo = "id", user = "id", role = "text" }}
[[rule]]
id = "issues.public-places"
tools = ["comment_issue", "create_issue"]
when = "session.tainted && session.private"
decide = "ask"
reason = "others read it, and private text was read in this session"
""",
    "calendar": """
[[tool]]
match = ["list_events", "read_event"]
effect = "read"
[[tool]]
match = "add_event"
effect = "write"
payload = ["title", "notes"]
inert = ["start", "end"]
[[tool]]
match = "create_meeting"
effect = "egress"
sinks = {{ participants = "email" }}
payload = ["title", "notes"]
inert = ["start", "end"]
known = {{ participants = "colleagues" }}
[[tool]]
match = "reschedule_event"
effect = "write"
sinks = {{ event_id = "id" }}
inert = ["start"]
[[tool]]
match = "cancel_event"
effect = "destructive"
sinks = {{ event_id = "id" }}
[[rule]]
id = "{name}.gone-for-good"
tools = ["cancel_event"]
when = "session.tainted"
decide = "ask"
reason = "what was just read may have asked for it"
""",
    "bank": """
[lists]
payees = [{payees}]
[[tool]]
match = ["list_accounts", "list_payees"]
effect = "read"
output = {{ trust = "trusted" }}
[[tool]]
match = "list_transactions"
effect = "read"
[[tool]]
match = "transfer"
effect = "money"
sinks = {{ account = "account", amount = "amount" }}
payload = ["memo"]
known = {{ account = "payees" }}
[[tool]]
match = "schedule_payment"
effect = "money"
sinks = {{ account = "account", amount = "amount" }}
inert = ["day"]
known = {{ account = "payees" }}
[[tool]]
match = "add_payee"
effect = "money"
sinks = {{ account = "account" }}
payload = ["name"]
""",
    "memory": """
[[tool]]
match = ["list_notes", "read_note", "search_notes", "recall"]
effect = "read"
output = {{ trust = "trusted" }}
[[tool]]
match = ["write_note", "append_note"]
effect = "write"
sinks = {{ key = "id" }}
payload = ["text"]
[[tool]]
match = "copy_note"
effect = "write"
sinks = {{ source = "id", key = "id" }}
[[tool]]
match = "delete_note"
effect = "destructive"
sinks = {{ key = "id" }}
[[rule]]
id = "{name}.gone-for-good"
tools = ["delete_note"]
when = "session.tainted"
decide = "ask"
reason = "what was just read may have asked for it"
""",
    "chat": """
[lists]
channels = [{channels}]
[[tool]]
match = "list_channels"
effect = "read"
output = {{ trust = "neutral" }}
[[tool]]
match = "read_channel"
effect = "read"
[[tool]]
match = "post_message"
effect = "egress"
sinks = {{ channel = "id" }}
payload = ["text"]
known = {{ channel = "channels" }}
[[tool]]
match = "direct_message"
effect = "egress"
sinks = {{ user = "id" }}
payload = ["text"]
[[tool]]
match = "add_member"
effect = "privilege"
sinks = {{ channel = "id", user = "id" }}
""",
    "directory": """
[[tool]]
match = ["list_people", "find_person"]
effect = "read"
output = {{ trust = "trusted" }}
""",
    "admin": """
[[tool]]
match = "list_users"
effect = "read"
output = {{ trust = "trusted" }}
[[tool]]
match = "invite_user"
effect = "privilege"
sinks = {{ email = "email", role = "text" }}
[[tool]]
match = "grant_role"
effect = "privilege"
sinks = {{ user = "id", role = "text" }}
[[tool]]
match = "set_password"
effect = "credential"
sinks = {{ user = "id", password = "text" }}
[[tool]]
match = "create_token"
effect = "credential"
sinks = {{ user = "id", scope = "text" }}
[[tool]]
match = "remove_user"
effect = "destructive"
sinks = {{ user = "id" }}
""",
    "clock": """
[[tool]]
match = ["convert_text", "add_days"]
effect = "read"
output = {{ trust = "neutral", private = false }}
""",
    "guest": """
[[tool]]
match = "forecast"
effect = "read"
sinks = {{ city = "text" }}
fetches = true
""",
}
OWN_DOCUMENTS = (
    'match = ["list_folder", "read_file", "search_files"]\neffect = "read"\n',
    'output = {{ trust = "trusted" }}\n',
)


def written(organisation: Organisation) -> dict[str, str]:
    """The files of `policies/`, by name."""
    parts = {
        "domain": organisation.domain,
        "site": organisation.site,
        "repos": _texts(organisation.repos),
        "payees": _texts(organisation.payees.values()),
        "channels": _texts(organisation.channels),
    }
    labels = {**LABELS, "desk": LABELS["files"].replace(OWN_DOCUMENTS[0], "".join(OWN_DOCUMENTS))}
    return {
        name: f'upstream = "{name}"\nowner = "workplace@{organisation.domain}"\n'
        + text.format(name=name, **parts)
        + OTHERWISE.format(name=name)
        for name, text in labels.items()
    }


def asking(organisation: Organisation) -> dict[str, str]:
    """The same labels, where every call that is more than a read asks: what a gate without origins does."""
    return _ruled(organisation, 'when = \'tool.tier != "read"\'\ndecide = "ask"')


def bare(organisation: Organisation) -> dict[str, str]:
    """The same labels and proven origins alone, without the three rules that a careful owner writes besides."""
    return _ruled(organisation, 'decide = "ask-unless-proven"')


def packed(organisation: Organisation) -> dict[str, str]:
    """Proven origins with the rule of the pack `github.toml` and its labels, which can't know what is public, and the
    rule for forms that `docs/packs.md` tells of; its list filled with the repositories that no outsider can read.
    """
    ruled, closed = bare(organisation), (repo for repo, kind in organisation.repos.items() if kind == "private")
    issues = ruled["issues"].replace("output = { private = false }\n", "")
    issues = issues.replace("[lists]\n", f"[lists]\nclosed = [{_texts(closed)}]\n")
    places = _first_rule("issues").replace('session.private"', "session.private && !listed(args.repo, 'closed')\"")
    return {**ruled, "issues": _before(issues, places), "web": _before(ruled["web"], _first_rule("web"))}


def _first_rule(name: str) -> str:
    """The first rule that an owner wrote for an upstream."""
    return f"[[rule]]{LABELS[name].split('[[rule]]')[1]}"


def _before(text: str, rule: str) -> str:
    """A rule in front of all others of a file."""
    return text.replace("[[rule]]", f"{rule}[[rule]]", 1)


def free(organisation: Organisation) -> dict[str, str]:
    """The same labels, where nobody is asked."""
    return _ruled(organisation, 'decide = "allow"')


def _ruled(organisation: Organisation, decides: str) -> dict[str, str]:
    rule = f'[[rule]]\nid = "{{name}}.all"\ntools = "*"\n{decides}\n'
    pages = f'[[rule]]\nid = "web.pages"\nresources = "*"\n{decides}\n'
    return {
        name: text.partition("[[rule]]")[0] + rule.format(name=name) + (pages if name == "web" else "")
        for name, text in written(organisation).items()
    }


POLICIES = {"proven": written, "bare": bare, "packed": packed, "asking": asking, "free": free}


def _texts(values: Iterable[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)
