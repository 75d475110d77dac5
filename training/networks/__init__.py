"""The networks of the method, one file each."""
