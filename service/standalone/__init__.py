"""The whole service from one command: its processes, and a Valkey of its own."""
