"""An app whose module `workers` django_schwartz finds by itself."""
