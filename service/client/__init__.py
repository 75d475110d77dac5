"""The commands that send files to a service and save what comes of them."""
