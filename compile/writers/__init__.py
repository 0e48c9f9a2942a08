"""Writers: one file per format, with SUFFIXES and `write(network, path)`."""
