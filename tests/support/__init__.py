"""What tests share: images, sounds and a tiny real model, all made on the fly."""
