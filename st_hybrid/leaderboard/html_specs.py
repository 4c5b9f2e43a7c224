"""The charts of the page as Vega-Lite specifications, without their data.

Colours are Okabe and Ito's and the map viridis, which people of every kind of colour vision can
tell apart; nothing is said by colour alone. Text takes the page's colour, so that one drawing does
for dark and light.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["OKABE_ITO", "SPECS"]

OKABE_ITO: Final = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999933", "#888888",
)  # fmt: skip
"""Colours of points, readable on white and on black."""

_SHAPES: Final = (
    "circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right",
    "triangle-left",
)  # fmt: skip
_INK: Final = "currentColor"

_CONFIG: Final[dict[str, Any]] = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": _INK,
        "titleColor": _INK,
        "domainColor": _INK,
        "tickColor": _INK,
        "gridColor": "#8888",
        "gridOpacity": 0.4,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "labelLimit": 90,
    },
    "legend": {"labelColor": _INK, "titleColor": _INK, "labelFontSize": 12, "labelLimit": 300},
    "text": {"fill": _INK},
}


def _heat() -> dict[str, Any]:
    cell = {"type": "nominal", "sort": None}
    return {
        "width": {"step": 36},
        "height": {"step": 26},
        "encoding": {
            "x": {**cell, "field": "passage", "title": "Passages", "scale": {"domain": []},
                  "axis": {"orient": "top", "labelAngle": 0, "domain": False, "ticks": False}},
            "y": {**cell, "field": "query", "title": "Queries", "scale": {"domain": []},
                  "axis": {"domain": False, "ticks": False}},
            "tooltip": [
                {"field": "query", "title": "Queries"},
                {"field": "passage", "title": "Passages"},
                {"field": "value", "title": "Value", "type": "quantitative", "format": ".4f"},
            ],
        },
        "layer": [
            {
                "mark": {"type": "rect", "strokeWidth": 0},
                "encoding": {
                    "description": {"field": "spoken"},
                    "color": {
                        "field": "value",
                        "type": "quantitative",
                        "legend": None,
                        "scale": {"scheme": "viridis", "domain": [0, 1]},
                    }
                },
            },
            {
                "mark": {"type": "text", "fontSize": 11, "aria": False},
                "encoding": {
                    "text": {"field": "value", "type": "quantitative", "format": ".2f"},
                    "fill": {"field": "ink", "type": "nominal", "scale": None},
                },
            },
        ],
    }  # fmt: skip


def _scatter() -> dict[str, Any]:
    def axis(field: str) -> dict[str, Any]:
        return {
            "field": field,
            "type": "quantitative",
            "title": "",
            "scale": {"zero": False, "padding": 24},
            "axis": {"tickCount": 6, "labelOverlap": "greedy"},
        }

    def label(is_right: bool) -> dict[str, Any]:
        # Labels of the right half stand on the left of their point, so that none is cut.
        return {
            "transform": [{"filter": {"field": "right", "equal": is_right}}],
            "mark": {
                "type": "text",
                "align": "right" if is_right else "left",
                "dx": -9 if is_right else 9,
                "fontSize": 12,
                "limit": 320,
                "aria": False,
            },
            "encoding": {
                "y": {"field": "height", "type": "quantitative"},
                "text": {"field": "label"},
            },
        }

    return {
        "width": "container",
        "height": 340,
        "encoding": {"x": axis("bias"), "y": axis("quality")},
        "layer": [
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 0.9},
                "encoding": {
                    "description": {"field": "spoken"},
                    "shape": {
                        "field": "kind",
                        "legend": None,
                        "scale": {"domain": [], "range": list(_SHAPES)},
                    },
                    "color": {
                        "field": "kind",
                        "legend": None,
                        "scale": {"domain": [], "range": list(OKABE_ITO)},
                    },
                    "tooltip": [
                        {"field": "model", "title": "Model"},
                        {"field": "quality", "title": "", "type": "quantitative"},
                        {"field": "bias", "title": "", "type": "quantitative"},
                    ],
                },
            },
            label(False),
            label(True),
        ],
    }


def _bars() -> dict[str, Any]:
    own = {"test": {"field": "own", "equal": True}}
    return {
        "width": "container",
        "height": 24,
        "encoding": {
            "y": {
                "field": "language",
                "type": "nominal",
                "sort": None,
                "title": None,
                "axis": {"domain": False, "ticks": False},
            }
        },
        "layer": [
            {
                "mark": {"type": "bar", "height": {"band": 0.7}},
                "encoding": {
                    "description": {"field": "spoken"},
                    "x": {
                        "field": "share",
                        "type": "quantitative",
                        "title": "Share",
                        "scale": {"domain": [0, 1]},
                        "axis": {"tickCount": 6, "labelOverlap": "greedy"},
                    },
                    "color": {"condition": {**own, "value": OKABE_ITO[1]}, "value": OKABE_ITO[0]},
                },
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 4, "fontSize": 11, "aria": False},
                "encoding": {
                    "x": {"field": "share", "type": "quantitative"},
                    "text": {"field": "text"},
                },
            },
        ],
    }


SPECS: Final[dict[str, dict[str, Any]]] = {
    name: {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", **spec, "config": _CONFIG}
    for name, spec in (("heat", _heat()), ("scatter", _scatter()), ("bars", _bars()))
}
"""Chart -> its specification; the page's script fills in data, titles and domains."""
