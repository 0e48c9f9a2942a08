"""One file per engine that `runtime_peers.py` measures, found by its name.

Each offers `SAMPLES`, how many samples it runs by default (of a sparse case, of a dense one), and `prepare(case)`, which builds the
network and returns what runs all samples once. What `prepare` does is not timed.
"""
