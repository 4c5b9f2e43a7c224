"""The parts of :mod:`st_hybrid.translate`, which has the public names."""
