"""What installs and runs the service elsewhere: locks, licences, Heroku, systemd."""
