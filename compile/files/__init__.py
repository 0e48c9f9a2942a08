"""What is written to and read from files beside model.loom: mappings, dumps, what was asked for, the files of SANA-FE."""
