"""The network that everything speaks of: populations, projections, neurons, synapses, convolutions, its reference and its archive."""
