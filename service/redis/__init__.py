"""Redis (or Valkey): connections to it, and the scripts that run inside it."""
