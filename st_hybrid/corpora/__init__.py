"""Parallel corpora: read from what people have, checked, stored; see :mod:`st_hybrid.parallel`."""
