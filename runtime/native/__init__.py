"""The native simulator: the program made of a network, the ways to run it, and its kernels."""
