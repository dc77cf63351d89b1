"""An app for child processes of the tests alone: its workers end them, or make them wait."""
