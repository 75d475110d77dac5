"""What the API and the workers share: job records, the queue, stored files, events, and who is at work."""
