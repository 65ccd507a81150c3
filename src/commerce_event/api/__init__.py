"""The management API: operations with their models, and the OpenAPI document that is built from both.

The screens call the same operations. Not here: accepting events (`accept`), the HTTP server (`http`), delivery rules.
"""
