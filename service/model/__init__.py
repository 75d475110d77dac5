"""Run the model: the bundle on disk, its three graphs, and the sound that drives them."""
