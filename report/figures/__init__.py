"""Figures for papers, one kind a file: `draw(runs, page, options)` returns a matplotlib figure, `Options` are its own options.

A file that offers `said(runs, options)` also returns lines for the terminal. `report.drawing.figure` chooses the kind by its name.
"""
