"""Source files that every exported Lava package gets a copy of. Nothing here is imported by Spikeloom; they run where Lava is."""
