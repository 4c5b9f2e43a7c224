"""``python -m st_hybrid``: the command ``st-hybrid``, for launchers that start a module."""

from __future__ import annotations

from st_hybrid.cli import main

if __name__ == "__main__":
    main()
