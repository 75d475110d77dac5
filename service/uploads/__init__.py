"""Files that are uploaded once for many jobs: their records, and the bytes that they may take."""
