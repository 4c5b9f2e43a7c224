"""Foreign text made harmless, one function a format.

Names come from files that anybody may have written. Each function takes text that is one visible
line (:func:`st_hybrid.leaderboard.table.plain`) and returns text that its format shows as it is.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["csv_text", "latex_text", "markdown_text"]

# With the full-width forms, which spreadsheets in some languages take for the same.
_FORMULA_STARTS: Final = tuple("=+-@\t\r\n＝＋－＠")

_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    # At the start of a line, a bracket or star would be an option of the line break before.
    "[": r"{[}",
    "]": r"{]}",
    "*": r"{*}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "−": r"$-$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\ldots{}",
}


def markdown_text(text: str) -> str:
    """Escape text for a table or list of GitHub-flavoured Markdown.

    Args:
        text: One line of text.

    Returns:
        The text, which Markdown shows as it was.
    """
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # GitHub makes links of bare addresses and mentions of names, too.
    text = re.sub(r"@(?=\S*\.)|(?<![A-Za-z0-9])@", "&#64;", text.replace("://", "&#58;//"))
    text = re.sub(r"(?i)\bwww\.", lambda found: found[0][:-1] + "&#46;", text)
    # An underscore inside a word is no markup, and names are full of them.
    return re.sub(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", text)


def csv_text(text: str) -> str:
    """Guard text against being run as a formula by a spreadsheet.

    Args:
        text: One line of text.

    Returns:
        The text, with an apostrophe in front where a spreadsheet would run it.
    """
    return "'" + text if text.startswith(_FORMULA_STARTS) else text


def latex_text(text: str) -> str:
    """Escape text for the body of a LaTeX document.

    Args:
        text: One line of text.

    Returns:
        The text, in which nothing is a command, a comment or a change of mode but what stands for
        a character.
    """
    escaped = "".join(_LATEX.get(character, character) for character in text)
    # Two hyphens would become a dash, two commas a quotation mark.
    return re.sub(r"([-,])(?=\1)", r"\1{}", escaped)
