"""Alerts to Discord, Slack, ntfy, e-mail and other services, through Apprise."""
