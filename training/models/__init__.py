"""The networks: the paper's, our own, and what they share."""
