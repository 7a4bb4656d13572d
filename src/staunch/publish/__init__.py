"""Finished layers to OCI layouts and archives."""
