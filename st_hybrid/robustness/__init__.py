"""Robustness: corrupted queries, unseen languages, other domains, contaminated test sets."""
