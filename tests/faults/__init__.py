"""Prove that no accepted job is lost: real processes, killed while real clients hand in jobs."""
