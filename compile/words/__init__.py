"""The synapse words of every core, as bytes: encoded from a deployed network, and decoded to the same synapses."""
