"""The app on the web: pages, forms and one small JSON API."""
