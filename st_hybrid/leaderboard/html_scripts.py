"""The libraries that the page carries, taken from installed packages, and how the page allows them.

DataTables (MIT, with jQuery) comes from itables, Vega and Vega-Lite (BSD-3-Clause) from
vl-convert-python. Nothing of them is in this repository, and nothing is fetched.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.util
import re
from importlib import resources
from pathlib import Path
from typing import Final

__all__ = [
    "CHARTS_MISSING",
    "chart_script",
    "glue",
    "has_charts",
    "policy",
    "styles",
    "table_script",
]

CHARTS_MISSING: Final = "pip install 'st-hybrid[html]'"
"""What installs the charts."""

_VEGA: Final = """/*! Vega, Vega-Lite and Vega-Embed: Copyright (c) University of
Washington Interactive Data Lab, BSD-3-Clause, https://github.com/vega */
"""
_EXPORT: Final = re.compile(r"export\{[^{}]*?([\w$]+) as default[^{}]*\};?")


@functools.cache
def table_script() -> str:
    """Return DataTables as the content of a module script that sets ``globalThis.DataTable``.

    Returns:
        The script.

    Raises:
        ImportError: If itables is not installed, or in a version that ships another bundle.
    """
    spec = importlib.util.find_spec("itables")  # importing it would take longer than the page
    bundle = Path(spec.origin).parent / "html" / "dt_bundle.js" if spec and spec.origin else None
    text = bundle.read_text("utf-8") if bundle is not None and bundle.is_file() else ""
    script, count = _EXPORT.subn(r"globalThis.DataTable=\1;", text)
    if count != 1:
        raise ImportError(
            "itables: the package is missing or ships no DataTables as expected, which the HTML "
            "page needs. Install it: pip install 'itables>=2.9,<3'."
        )
    return _inline(script)


def has_charts() -> bool:
    """Whether the library for charts is installed."""
    return importlib.util.find_spec("vl_convert") is not None


@functools.cache
def chart_script() -> str:
    """Return Vega-Embed as the content of a script that sets ``globalThis.vegaEmbed``.

    It takes two to four seconds the first time in a process.

    Returns:
        The script.

    Raises:
        ImportError: If vl-convert-python is not installed, see :func:`has_charts`.
    """
    import vl_convert

    return _inline(_VEGA + vl_convert.javascript_bundle("globalThis.vegaEmbed = vegaEmbed;"))


@functools.cache
def glue() -> str:
    """Return the page's own script, which connects the libraries to the page."""
    return _asset("page.js") + _asset("page_charts.js")


@functools.cache
def styles() -> str:
    """Return the page's style sheet."""
    return _asset("page.css")


def policy(scripts: tuple[str, ...], style: str) -> str:
    """Return a content security policy that allows these inline texts and nothing else.

    Args:
        scripts: The contents of all scripts.
        style: The content of the style sheet.

    Returns:
        The policy: no request, no other script, no ``eval``.
    """
    allowed = " ".join(_source(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_source(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


@functools.cache
def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _asset(name: str) -> str:
    return resources.files("st_hybrid.leaderboard").joinpath(name).read_text("utf-8")


def _inline(script: str) -> str:
    """Keep a script from ending its element, or from changing how its end is read."""
    return re.sub(r"<(?=!--|/?script)", r"\\x3c", script.replace("\r\n", "\n"), flags=re.I)
