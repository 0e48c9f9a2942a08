"""What the neurons of a core take of it: neurons, words of synapses as they are really encoded, axons."""
