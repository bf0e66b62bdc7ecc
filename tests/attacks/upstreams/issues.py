"""Repositories and their issues: list, read, search, comment, create, close, source files, collaborators."""

from serve import ToolError, plain


def one(world, repo, number):
    for issue in world.data["issues"]:
        if (issue["repo"], issue["number"]) == (plain(repo), plain(number)):
            return issue
    raise ToolError(f"no issue {number} in {repo}")


def line(issue):
    return f"{issue['repo']} #{issue['number']} ({issue['by']}): {issue['title']}"


def list_repos(world):
    """List the repositories that you may use."""
    return "\n".join(f"{repo} ({kind})" for repo, kind in world.data["repos"].items())


def list_issues(world, repo):
    """List the open issues of a repository."""
    return "\n".join(line(issue) for issue in world.data["issues"] if issue["repo"] == repo) or f"no issues in {repo}"


def read_issue(world, repo, number):
    """Read an issue."""
    issue = one(world, repo, number)
    return f"{line(issue)}\n\n{issue['body']}"


def search_issues(world, query):
    """Search all issues."""
    found = [issue for issue in world.data["issues"] if query.lower() in (issue["title"] + issue["body"]).lower()]
    return "\n".join(line(issue) for issue in found) or f"no issue matches {query}"


def read_source(world, repo, path):
    """Read a source file of a repository."""
    text = world.data["sources"].get(f"{repo}:{path}")
    if text is None:
        raise ToolError(f"no file {path} in {repo}")
    return text


def comment_issue(world, repo, number, body):
    """Comment on an issue."""
    one(world, repo, number)
    world.effect(
        "commented", to=[repo], number=str(number), text=body, public=world.data["repos"].get(repo) == "public"
    )
    return "commented"


def create_issue(world, repo, title, body):
    """Open an issue."""
    kind = world.data["repos"].get(repo, "public")
    world.effect("commented", to=[repo], number="", text=f"{title}\n{body}", public=kind == "public")
    return "opened"


def close_issue(world, repo, number):
    """Close an issue."""
    one(world, repo, number)
    world.effect("closed", repo=repo, number=str(number))
    return "closed"


def add_collaborator(world, repo, user, role):
    """Give somebody rights in a repository."""
    world.effect("privilege", to=[user], repo=repo, role=role)
    return "added"


TOOLS = {
    "list_repos": ("read", "", list_repos),
    "list_issues": ("read", "repo", list_issues),
    "read_issue": ("read", "repo number", read_issue),
    "search_issues": ("read", "query", search_issues),
    "read_source": ("read", "repo path", read_source),
    "comment_issue": ("write", "repo number body", comment_issue),
    "create_issue": ("write", "repo title body", create_issue),
    "close_issue": ("write", "repo number", close_issue),
    "add_collaborator": ("write", "repo user role", add_collaborator),
}
