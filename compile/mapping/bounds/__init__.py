"""Lower bounds on cores and messages that hold for every mapping."""
