"""A finished run as a folder of pages, for a browser and no network."""
