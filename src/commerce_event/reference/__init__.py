"""The reference page: the OpenAPI document as HTML, with guides and handler samples.

Inside: the document read into a page model, examples of every schema, templates, and shell samples. The handlers come
from `codegen`.
Not inside: anything that depends on a key or on stored data. The page is rendered once and is the same for everyone.
"""
