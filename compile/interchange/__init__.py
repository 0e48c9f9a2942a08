"""NIR: graphs of primitives with continuous time, read as networks with time steps, and written."""
