"""Searches for mappings with short steps or little energy; the search for few messages is `mapping.search`."""
