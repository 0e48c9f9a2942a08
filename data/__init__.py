"""Data sets and samples in files, as integers. Nothing here imports torch."""
