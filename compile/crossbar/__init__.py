"""Networks on TrueNorth-style crossbars: weights from four levels a neuron, allocation to cores, and what a core holds."""
