"""Lava processes of our own, alone in their folder: Lava executes every sibling module of a process when it looks for models."""
