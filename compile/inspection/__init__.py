"""What is in a deployed network: its layers, its cores, and single neurons, with where they are and what they cost."""
