"""The sandbox, tested itself: what the fakes say is only worth what these tests hold them to."""
