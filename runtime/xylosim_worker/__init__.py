"""The worker that runs xylosim in a process of its own; it imports nothing of Spikeloom."""
