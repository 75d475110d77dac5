"""Tests of service.storage, on real folders and a real object store."""
