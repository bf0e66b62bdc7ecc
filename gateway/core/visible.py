"""Text of others, as it can be shown: what hides or turns it is made visible. Light, for commands load it. No I/O."""

import unicodedata


def visible(text: str) -> str:
    """Show control, format and direction-changing characters as `\\u{..}`; line breaks and tabs as `\\n` and `\\t`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(char) for char in text)


# Letters, marks and symbols by their category, of which nothing is to be seen: fillers, joiners, selectors of variants.
_BLANK = frozenset(
    chr(code)
    for first, last in (
        *((0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2800, 0x2800)),
        *((0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF)),
    )
    for code in range(first, last + 1)
)


def _visible(char: str) -> str:
    if char == "\n":
        return "\\n"
    if char == "\t":
        return "\\t"
    category = unicodedata.category(char)
    hidden = category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or (category == "Zs" and char != " ")
    return f"\\u{{{ord(char):x}}}" if hidden or char in _BLANK else char
