"""Settings, logs and the web server: what differs between deploys. A leaf: imports nothing of the service."""
