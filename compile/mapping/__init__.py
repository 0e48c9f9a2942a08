"""From an integer network to cores: what a core holds (`load`), partition, placement, lower bounds."""
