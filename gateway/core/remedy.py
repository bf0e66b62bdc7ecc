"""How a secret of each kind is rotated, step by step. A table, and nothing else.

Names of pages and commands are those that the vendors publish; where a kind is not told of, the general steps stand.
"""

from collections.abc import Mapping

_SOURCE = "take it out of where it was read from, and out of what was made from that (history, logs, backups)"
_LOOK = "look in the vendor's log for uses since it was first seen that are not yours"

_GENERAL = (
    "find out whose secret it is, and what it opens",
    "make a new one at whoever gave it out, and let what uses it have the new one",
    "revoke the old one, and see that it is refused",
    _SOURCE,
)


def _vendor(make: str, revoke: str, look: str = _LOOK) -> tuple[str, ...]:
    return (make, "let everything that uses the old one have the new one", revoke, look, _SOURCE)


STEPS: Mapping[str, tuple[str, ...]] = {
    "gateway-secret": (
        "make a new one at whoever gave it out, as its vendor's steps say",
        "put it where the upstream's reference points to (`wardgate check` names the references)",
        "restart the gateway: once the reference gives another value, the leak counts as rotated by itself",
        "revoke the old one, and see that it is refused",
        _SOURCE,
    ),
    "honeytoken": (
        "nothing is to be rotated: nobody has a use for it, so whoever carried it had read it where it was laid",
        "look at the session that carried it, and at what that read before (`wardgate explain`, `wardgate log`)",
        "mint another one for its upstream",
    ),
    "aws": _vendor(
        "IAM: create a second access key for the same user (`aws iam create-access-key`)",
        "set the old key inactive, watch for errors, then delete it (`aws iam delete-access-key`)",
        "CloudTrail: look for events of the old key id since it was first seen",
    ),
    "github": _vendor(
        "GitHub, Settings, Developer settings: make a new token with no more scopes than are needed",
        "delete the old token there (an app's key: in the app's settings; a deploy key: in the repository's)",
        "GitHub's audit log and security log: look for uses since it was first seen",
    ),
    "gitlab": _vendor("GitLab, Access tokens: rotate the token", "see that the old one is listed as revoked"),
    "slack": _vendor(
        "Slack, the app's page, OAuth & Permissions: install the app anew; a webhook: add a new one",
        "revoke the old token (`auth.revoke`), or remove the webhook",
    ),
    "stripe": _vendor(
        "Stripe dashboard, Developers, API keys: roll the key, and choose when the old one ends",
        "see that the old key has expired",
        "Developers, Logs: look for requests of the old key since it was first seen",
    ),
    "openai": _vendor("OpenAI platform, API keys: create a new secret key", "revoke the old key there"),
    "anthropic": _vendor("Anthropic console, API keys: create a new key", "disable the old key, then delete it"),
    "gcp": _vendor(
        "Google Cloud, Credentials: make a new API key, or a new key of the service account",
        "delete the old one (`gcloud services api-keys delete`, `gcloud iam service-accounts keys delete`)",
        "Cloud audit logs: look for uses since it was first seen",
    ),
    "azure": _vendor(
        "Azure portal: regenerate the key that is not in use, and change over to it",
        "regenerate the key that leaked",
        "the resource's activity log: look for uses since it was first seen",
    ),
    "npm": _vendor(
        "`npm token create`, or the page of access tokens of the npm account", "`npm token revoke` the old one"
    ),
    "pypi": _vendor("PyPI, Account settings: add a new API token, for one project", "remove the old token there"),
    "huggingface": _vendor("Hugging Face, Settings, Access tokens: make a new token", "delete the old one there"),
    "vault": _vendor(
        "sign in to Vault anew (`vault login`)", "`vault token revoke` the old token, with what it gave out"
    ),
    "databricks": _vendor(
        "Databricks, User settings, Developer, Access tokens: generate a new token", "revoke the old token there"
    ),
    "notion": _vendor("Notion, My integrations: refresh the integration's secret", "see that the old one is refused"),
    "atlassian": _vendor("Atlassian account, Security, API tokens: create a new token", "revoke the old token there"),
    "discord": _vendor(
        "Discord developer portal, Bot: reset the token; a webhook: make a new one in the channel's settings",
        "delete the old webhook; a token's reset has ended the old one",
    ),
    "telegram": _vendor(
        "@BotFather: `/revoke` gives a new token and ends the old one", "see that the old one is refused"
    ),
    "twilio": _vendor("Twilio console, API keys: create a new key", "delete the old key there"),
    "sendgrid": _vendor("SendGrid, Settings, API keys: create a new key", "delete the old key there"),
    "private-key": (
        "make a new pair of keys; let the old private key sign and decrypt nothing more",
        "put the new public key wherever the old one is trusted (`authorized_keys`, deploy keys, certificates)",
        "take the old public key out there; have a certificate of it revoked at its issuer",
        "look in the logs of the machines that trusted it for logins since it was first seen",
        _SOURCE,
    ),
    "jwt": (
        "see when it expires (its `exp`), and for whom it was made",
        "end the session or the grant that it belongs to; where that can't be done, change the key that signs",
        "see that it is refused",
        _SOURCE,
    ),
    "url-password": (
        "change the password of the account in the URL, or make another account for what uses it",
        "let everything that uses it have the new one; take the password out of the URL into a secret store",
        "end the connections that are open with the old one",
        _SOURCE,
    ),
}
"""Steps by a kind, or by the first word of it."""

_ALSO = {"google": "gcp", "firebase": "gcp", "postgres": "url-password", "postgresql": "url-password"}
_ALSO |= {"mysql": "url-password", "mongodb": "url-password", "redis": "url-password", "credential": "url-password"}
_ALSO |= {"ssh": "private-key", "pem": "private-key", "pgp": "private-key", "rsa": "private-key"}


def steps(kind: str) -> tuple[str, ...]:
    """How a secret of a kind is rotated."""
    first = kind.partition("-")[0]
    for name in (kind, first, _ALSO.get(first, "")):
        if name in STEPS:
            return STEPS[name]
    if kind.endswith("private-key"):
        return STEPS["private-key"]
    return _GENERAL
