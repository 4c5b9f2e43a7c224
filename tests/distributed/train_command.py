"""``st-hybrid train`` as launchers start it, in processes that test_train_command.py compares."""

from __future__ import annotations

from st_hybrid.commands.train import train

if __name__ == "__main__":
    train()
