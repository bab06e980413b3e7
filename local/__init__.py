"""The whole service on one machine: to try it (`make demo`) and for real use from a `.env` (`make run`)."""
