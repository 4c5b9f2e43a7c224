"""Small parallel data in the layout that the scripts under examples/ expect."""

from __future__ import annotations

import lzma
from pathlib import Path

# A text in a wrong script would be left out.
OTHER_SCRIPTS = {
    "ar": "سؤال",
    "el": "ερώτηση",
    "hi": "प्रश्न",
    "ru": "вопрос",
    "th": "คำถาม",
    "zh": "問題",
}
LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")


def write_tables(folder: Path, rows: int = 60) -> None:
    """Queries, passages, pairs and one table of parallel sentences, tab-separated and packed."""
    tables = {"qa/queries": "frage", "qa/passages": "antwort", "bitext/small": "satz"}
    for number, (name, word) in enumerate(tables.items()):
        lines = ["\t".join(["id", *LANGUAGES])]
        for row in range(rows):
            words = [OTHER_SCRIPTS.get(code, f"{word} {code}") for code in LANGUAGES]
            texts = [f"{word} {row} {row * 7 % 31 + 100 * number}" for word in words]
            lines.append("\t".join([f"x{row}", *texts]))
        _pack(folder / f"{name}.tsv.xz", lines)
    pairs = [f"x{row}\tx{row // 2}" for row in range(rows)]
    _pack(folder / "qa" / "pairs.tsv.xz", ["query_id\tpassage_id", *pairs])


def _pack(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(("\n".join(lines) + "\n").encode()))
