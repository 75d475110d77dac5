"""Tell a client's own server that its job has ended: signed as Standard Webhooks say, and again until it listens."""
