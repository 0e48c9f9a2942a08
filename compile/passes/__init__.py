"""Passes: one file each, a frozen dataclass called `Pass` that makes a new network and says what it changed."""
