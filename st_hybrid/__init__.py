"""Hybrid batch training and language-bias evaluation for multilingual retrieval."""
