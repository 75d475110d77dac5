"""Open foreign bytes: pictures and sounds come in through here and nowhere else."""
