"""The reference page: the OpenAPI document, for reading."""
