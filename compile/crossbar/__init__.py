"""Networks on TrueNorth-style crossbars: weights from four levels per neuron, allocation to cores, and the contents of a core."""
