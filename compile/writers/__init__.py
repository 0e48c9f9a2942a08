"""Writers: one file per format, with SUFFIXES and `write(network, path)` (with `Options`, `write(network, path, options)`), or
`write_integers(network, path)` where the format holds a deployed network's integers."""
