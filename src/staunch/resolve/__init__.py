"""Requests to exact packages and wheels."""
