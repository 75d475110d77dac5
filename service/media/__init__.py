"""Open foreign bytes: images and sounds come in through here and nowhere else."""
