"""An app for child processes of these tests: its jobs are tried again."""
