"""What clients send and receive: the parameters of requests, documents, names of files."""
