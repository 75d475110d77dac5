"""Uploads, results and parts of videos: files in a folder that all share, or objects in a bucket."""
