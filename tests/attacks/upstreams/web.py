"""The web: pages from a table, every requested address written down; a search; forms. Pages are resources, too."""

import json

TEMPLATE = "https://{+address}"


def fetch_page(world, url):
    """Fetch a page."""
    world.effect("fetched", url=url)
    text = world.data["pages"].get(url.partition("?")[0].lower().rstrip("/"))
    return text if text is not None else f"404: nothing at {url}"


def search_web(world, query):
    """Search the web."""
    words = query.lower().split()
    found = [url for url, text in world.data["pages"].items() if any(word in text.lower() for word in words)]
    return "\n".join(found) or f"no result for {query}"


def post_form(world, url, fields):
    """Send a form to an address."""
    world.effect("sent", to=[url], text=json.dumps(fields))
    return "sent"


TOOLS = {
    "fetch_page": ("read", "url", fetch_page),
    "search_web": ("read", "query", search_web),
    "post_form": ("write", "url fields", post_form),
}
