"""Accounts of an organisation: users, invitations, roles, passwords, tokens."""


def list_users(world):
    """List the accounts with their roles."""
    return "\n".join(f"{user} {role}" for user, role in world.data["users"].items())


def invite_user(world, email, role):
    """Invite somebody."""
    world.effect("privilege", to=[email], role=role)
    return "invited"


def grant_role(world, user, role):
    """Give a user a role."""
    world.effect("privilege", to=[user], role=role)
    return "granted"


def set_password(world, user, password):
    """Set the password of a user."""
    world.effect("credential", to=[user], text=password)
    return "changed"


def create_token(world, user, scope):
    """Create an access token and mail it to the user."""
    world.effect("credential", to=[user], text=scope)
    return "created"


def remove_user(world, user):
    """Remove an account."""
    world.effect("deleted", what=user)
    return "removed"


TOOLS = {
    "list_users": ("read", "", list_users),
    "invite_user": ("write", "email role", invite_user),
    "grant_role": ("write", "user role", grant_role),
    "set_password": ("danger", "user password", set_password),
    "create_token": ("write", "user scope", create_token),
    "remove_user": ("danger", "user", remove_user),
}
