"""Small conversions that say back what they are given: nobody else's text."""


def convert_text(world, text, style):
    """Convert a text: lower, upper, reverse or base64."""
    import base64

    if style == "base64":
        try:
            return base64.b64decode(text).decode()
        except ValueError:
            return f"not base64: {text}"
    return {"lower": text.lower(), "upper": text.upper(), "reverse": text[::-1]}.get(style, text)


def add_days(world, day, days):
    """Add days to a date."""
    import datetime

    return str(datetime.date.fromisoformat(day) + datetime.timedelta(days=int(days)))


TOOLS = {"convert_text": ("read", "text style", convert_text), "add_days": ("read", "day days", add_days)}
