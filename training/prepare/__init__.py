"""From videos to clips: pictures and the sound that occurs with them."""
