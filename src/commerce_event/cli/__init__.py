"""The `commerce-event` command: one module for each group of commands, all clients of the API except a few.

Not here: rules of the product. A command parses options, calls something, and prints the result.
"""
