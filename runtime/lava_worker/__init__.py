"""The child's side of the Lava backend: `main.py` is run as a script by an interpreter that has Lava, never imported."""
