"""``python -m mteb_tasks run ...``: the ``mteb`` command with st-hybrid's tasks added."""

from __future__ import annotations

from mteb.cli import main

# Python has imported the package before this module, and that adds the tasks.
if __name__ == "__main__":
    main()
