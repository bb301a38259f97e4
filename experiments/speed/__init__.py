"""How fast, against stated peers and targets."""
