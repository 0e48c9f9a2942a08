"""Passes: one file each, a frozen dataclass that makes a new network and says what it changed; `compile/chain.py` has their order.

A plug-in is one more file, with `AFTER`, the name of the pass that it follows, and `create(options)`, which returns the pass.
"""
