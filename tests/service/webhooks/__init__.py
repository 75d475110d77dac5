"""Webhooks: where they may go, how they are sent, and that they are."""
