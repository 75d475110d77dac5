"""From videos to clips: images and the sound that occurs with them."""
