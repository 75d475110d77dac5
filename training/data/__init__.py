"""What is learned from: the index, images and audio clips, conditions, shards."""
