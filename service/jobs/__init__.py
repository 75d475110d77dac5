"""What the API and the workers share of a job: its record, the queue, its lease, its events, and who is at work."""
