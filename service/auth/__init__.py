"""Who may use the service: API keys, where they are kept, and how much each may ask for."""
