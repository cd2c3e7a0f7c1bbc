"""Make words of others safe to print: names come from the database, and a terminal obeys some letters."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return one line, with ? for what writes no sign: ESC, ends of lines, changes of direction."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
