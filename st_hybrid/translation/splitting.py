"""Cuts texts that a model cannot take as a whole, and joins the pieces' translations again.

A text is cut at sentence ends; a sentence that is still too long at clause marks, then at spaces,
then between characters. Nothing but whitespace is ever left out.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from st_hybrid.languages import get_language

__all__ = ["Piece", "join_pieces", "separator", "split_sentences", "split_text"]

Span: TypeAlias = tuple[int, int]
"""Where a part of a text begins and ends; it begins and ends with no whitespace."""

Count: TypeAlias = Callable[[Sequence[str]], Sequence[int]]
"""Tokens that a model makes of each text, its special tokens and prefix included."""

_FREE: Final = "。！？｡।॥။།༎៕។۔؟։።፧"  # end a sentence whatever follows
_SPACED: Final = ".!?…‼⁇⁈⁉"  # end one where whitespace follows
_GREEK: Final = ";\u037e"  # question marks in Greek alone
_CLOSING: Final = re.escape("”’»›)]}」』）】〉》〕｣")
_OPENING: Final = "\"'„“‘«‹([{「『（【〈《〔｢¿¡"
_FREE_CLAUSE: Final = "，、；：､"
_SPACED_CLAUSE: Final = ",;:،؛—–"

# A full stop after one of these, or after a single letter, ends no sentence.
_ABBREVIATIONS: Final = """
al approx bd bzw ca capt cf corp dept dr dra fig gen gov hon inc jr lt ltd mr mrs ms nr nº op pp
prof rev sgt sr sra st tel univ usw vol vs г гг им св стр т.е т.д т.п ул
"""
_NO_ENDS: Final = frozenset(_ABBREVIATIONS.split())

# How scripts without spaces between words join: after a sentence, and within one.
_JOINTS: Final = {"Hans": ("", ""), "Jpan": ("", "")} | dict.fromkeys(
    ("Khmr", "Laoo", "Mymr", "Thai", "Tibt"), (" ", "")
)

_WHITESPACE: Final = re.compile(r"\s+")
_CLAUSE: Final = re.compile(rf"[{_FREE_CLAUSE}]+|[{_SPACED_CLAUSE}]+(?=\s)")
_LAST_WORD: Final = re.compile(r"[\w.]*$")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text.

    Attributes:
        text: The part, without whitespace around it.
        gap: The whitespace before it in the text; empty before the first.
        begins_sentence: Whether a sentence begins with it.
    """

    text: str
    gap: str
    begins_sentence: bool


def split_text(
    text: str, limit: int, count: Count, language: str, *, single_sentences: bool = False
) -> list[Piece]:
    """Cut a text into pieces of at most ``limit`` tokens.

    As many sentences as fit go into one piece, so a text within the limit is one piece.

    Args:
        text: The text.
        limit: The most tokens of a piece, special tokens and prefix included.
        count: Counts them.
        language: Code of the text's language.
        single_sentences: Whether every sentence becomes a piece of its own.

    Returns:
        The pieces; gaps and texts after one another are the text without whitespace around it.

    Raises:
        ValueError: If the language is unknown, or one character alone is above the limit.
    """
    whole = _trimmed(text, 0, len(text))
    if whole is None:
        return []
    sentences = split_sentences(text, language)
    if single_sentences:
        spans = [x for sentence in sentences for x in _fit(text, sentence, limit, count, language)]
    else:
        spans = _fit(text, whole, limit, count, language)
    starts = {start for start, _ in sentences}
    ends = [whole[0], *(end for _, end in spans)]
    return [
        Piece(text[start:end], text[before:start], start in starts)
        for before, (start, end) in zip(ends, spans, strict=False)
    ]


def join_pieces(translations: Sequence[str], pieces: Sequence[Piece], language: str) -> str:
    """Join the translations of a text's pieces as the target language's script does.

    Args:
        translations: The pieces' translations.
        pieces: The pieces.
        language: Code of the language of the translations.

    Returns:
        The text's translation.

    Raises:
        ValueError: If there are not as many translations as pieces.
    """
    joined = [
        text if number == 0 else separator(piece, language) + text
        for number, (text, piece) in enumerate(zip(translations, pieces, strict=True))
    ]
    return "".join(joined)


def separator(piece: Piece, language: str) -> str:
    """What stands between a piece's translation and that of the piece before it.

    Args:
        piece: The piece, any but a text's first.
        language: Code of the language of the translation.

    Returns:
        Line breaks where the text has some; otherwise a space or nothing, as the script wants it
        between or within sentences.
    """
    if "\n" in piece.gap:
        return "\n" * piece.gap.count("\n")
    after, within = _JOINTS.get(get_language(language).script, (" ", " "))
    return after if piece.begins_sentence else within


def split_sentences(text: str, language: str) -> list[Span]:
    """Find the sentences of a text.

    Full stops, question and exclamation marks of all scripts end a sentence, those of scripts with
    spaces only where whitespace follows and no small letter after it, and not after abbreviations,
    initials and ordinal numbers. Line breaks end one too. Thai and Lao mark no sentence ends.

    Args:
        text: The text.
        language: Code of its language.

    Returns:
        Where each begins and ends.

    Raises:
        ValueError: If the language is unknown.
    """
    spaced = _SPACED + (_GREEK if get_language(language).code == "el" else "")
    pattern = re.compile(
        rf"(?P<free>[{_FREE}]+[{_CLOSING}]*)|(?P<mark>[{spaced}]+)[\"'“{_CLOSING}]*(?=\s)|\n"
    )
    cuts = [
        match.end()
        for match in pattern.finditer(text)
        if match["mark"] is None or _ends_sentence(text, match)
    ]
    return _between(text, (0, len(text)), cuts)


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    """Whether a mark of a script with spaces ends a sentence."""
    following = text[match.end() : match.end() + 12].lstrip().lstrip(_OPENING).lstrip()
    if following[:1].islower():
        return False
    if match["mark"] != ".":
        return True
    found = _LAST_WORD.search(text[max(0, match.start() - 24) : match.start()])
    word = found[0].lower() if found else ""
    if word == "no" and following[:1].isdigit():
        return False  # "No. 5"
    if word.isdigit():
        return len(word) > 2  # "3. Oktober", but "in 1999. Then"
    initials = all(len(part) == 1 for part in word.split("."))
    return not word or not (initials or word in _NO_ENDS)


def _clauses(text: str, span: Span, language: str) -> list[Span]:
    return _between(text, span, [x.end() for x in _CLAUSE.finditer(text, *span)])


def _words(text: str, span: Span, language: str) -> list[Span]:
    return _between(text, span, [x.end() for x in _WHITESPACE.finditer(text, *span)])


def _sentences(text: str, span: Span, language: str) -> list[Span]:
    start = span[0]
    found = split_sentences(text[start : span[1]], language)
    return [(start + first, start + last) for first, last in found]


_LEVELS: Final = (_sentences, _clauses, _words)


def _fit(
    text: str, span: Span, limit: int, count: Count, language: str, level: int = 0
) -> list[Span]:
    """Cut a span into spans within the limit, at the highest level of units that does."""
    if count([text[slice(*span)]])[0] <= limit:
        return [span]
    if level == len(_LEVELS):
        return _cut_characters(text, span, limit, count)
    units = _LEVELS[level](text, span, language)
    fitted: list[Span] = []
    for group in _packed(text, units, limit, count):
        if len(group) > 1:
            fitted.append((group[0][0], group[-1][1]))
        else:
            fitted.extend(_fit(text, group[0], limit, count, language, level + 1))
    return fitted


def _packed(text: str, units: Sequence[Span], limit: int, count: Count) -> list[list[Span]]:
    """Put neighbours together while they fit; a unit above the limit stays alone."""
    around = count([""])[0]  # special tokens and prefix
    lengths = [x - around for x in count([text[slice(*unit)] for unit in units])]
    groups: list[list[Span]] = []
    room = -1
    for unit, length in zip(units, lengths, strict=True):
        if groups and length <= room:
            groups[-1].append(unit)
        else:
            groups.append([unit])
            room = limit - around
        room -= length
    # Together they may make more tokens than apart: then they are halved until they fit.
    done: list[list[Span]] = []
    while groups:
        group = groups.pop()
        if len(group) > 1 and count([text[group[0][0] : group[-1][1]]])[0] > limit:
            groups += [group[: len(group) // 2], group[len(group) // 2 :]]
        else:
            done.append(group)
    return done[::-1]


def _cut_characters(text: str, span: Span, limit: int, count: Count) -> list[Span]:
    """Cut a span between characters, each part as long as the limit allows."""
    parts: list[Span] = []
    start, end = span
    while start < end:
        cut = _longest_start(text, start, end, limit, count)
        if cut < end:
            whole_characters = _before_marks(text, start, cut)
            cut = whole_characters if whole_characters > start else cut
        parts.append((start, cut))
        start = cut
    return parts


def _longest_start(text: str, start: int, end: int, limit: int, count: Count) -> int:
    """The furthest end within the limit, found by halving."""
    low, high = start, end
    while low < high:
        middle = (low + high + 1) // 2
        if count([text[start:middle]])[0] <= limit:
            low = middle
        else:
            high = middle - 1
    if low == start:
        raise ValueError(
            f"the character {text[start]!r} alone makes more than {limit} tokens: allow longer "
            "pieces (max_source_tokens)"
        )
    return low


def _before_marks(text: str, start: int, cut: int) -> int:
    """Move a cut so that it parts no letter from its marks, no joined letters and no emoji."""
    while cut > start and (
        unicodedata.category(text[cut]) in ("Mn", "Mc", "Me", "Sk")
        or "\u200d" in (text[cut], text[cut - 1])
        or unicodedata.combining(text[cut - 1]) == 9  # a virama joins two consonants
    ):
        cut -= 1
    return cut


def _between(text: str, span: Span, cuts: Sequence[int]) -> list[Span]:
    """The parts of a span between cuts, without whitespace around them."""
    edges = [span[0], *cuts, span[1]]
    parts = [_trimmed(text, start, end) for start, end in itertools.pairwise(edges)]
    return [part for part in parts if part is not None]


def _trimmed(text: str, start: int, end: int) -> Span | None:
    part = text[start:end]
    kept = part.strip()
    if not kept:
        return None
    start += len(part) - len(part.lstrip())
    return start, start + len(kept)
