"""What tests share: pictures, sounds and a tiny real model, all made on the fly."""
