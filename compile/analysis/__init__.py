"""Facts about a network that passes and reports need: which neurons and synapses can matter, what a population can receive, its kind."""
