"""Turns rows of text into pieces that a model takes, and pieces into batches of like length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from st_hybrid.translation.splitting import separator, split_text

__all__ = ["PlannedPiece", "plan_batches", "plan_pieces"]


@dataclass(frozen=True, slots=True)
class PlannedPiece:
    """A piece of a row's text as it goes into a model.

    Attributes:
        row: The row's number.
        number: The piece's place in the row, from 0.
        of: The row's number of pieces.
        before: What stands before the piece's translation when the pieces are joined.
        ids: Its tokens.
    """

    row: int
    number: int
    of: int
    before: str
    ids: Sequence[int]


def plan_pieces(
    rows: Sequence[int],
    texts: Sequence[str],
    encode: Callable[[Sequence[str]], Sequence[Sequence[int]]],
    limit: int,
    source_language: str,
    target_language: str,
    *,
    single_sentences: bool = False,
) -> list[PlannedPiece]:
    """Cut texts into pieces of at most ``limit`` tokens.

    Args:
        rows: The texts' row numbers.
        texts: The texts; none is empty.
        encode: Makes tokens of texts, special tokens and prefix included.
        limit: The most tokens of a piece.
        source_language: Code of the texts' language.
        target_language: Code of the language to translate to.
        single_sentences: Whether every sentence becomes a piece of its own.

    Returns:
        All pieces, row after row.
    """
    planned: list[PlannedPiece] = []
    encoded = [()] * len(texts) if single_sentences else encode([text.strip() for text in texts])

    def count(parts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in encode(parts)]

    for row, text, ids in zip(rows, texts, encoded, strict=True):
        if not single_sentences and len(ids) <= limit:
            planned.append(PlannedPiece(row, 0, 1, "", ids))
            continue
        pieces = split_text(text, limit, count, source_language, single_sentences=single_sentences)
        for number, (piece, tokens) in enumerate(
            zip(pieces, encode([piece.text for piece in pieces]), strict=True)
        ):
            before = separator(piece, target_language) if number else ""
            planned.append(PlannedPiece(row, number, len(pieces), before, tokens))
    return planned


def plan_batches(
    pieces: Sequence[PlannedPiece], batch_tokens: int, beams: int = 1
) -> list[list[PlannedPiece]]:
    """Put pieces of like length together, the longest first.

    Args:
        pieces: The pieces.
        batch_tokens: The most tokens of a batch: pieces times the longest of them times beams. A
            longer piece is a batch of its own.
        beams: Translations that the model keeps of each piece while it searches.

    Returns:
        Batches, every piece in one of them.
    """
    longest_first = sorted(pieces, key=lambda piece: (-len(piece.ids), piece.row, piece.number))
    batches: list[list[PlannedPiece]] = []
    room = 0
    for piece in longest_first:
        if room == 0:
            batches.append([])
            room = max(1, batch_tokens // (max(1, len(piece.ids)) * beams))
        batches[-1].append(piece)
        room -= 1
    return batches
