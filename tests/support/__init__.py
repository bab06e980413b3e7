"""What several tests stand on: servers and processes that are started, watched and stopped."""
