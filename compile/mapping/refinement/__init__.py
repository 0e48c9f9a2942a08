"""Refinement of a partition: neurons move between cores while that saves messages."""
