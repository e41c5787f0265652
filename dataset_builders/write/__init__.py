"""Parquet shards, and their way into a folder or object storage."""
