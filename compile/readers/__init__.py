"""Readers: one file per format, with SUFFIXES and `read(path) -> Network`."""
