"""The event types. This file is generated: `commerce-event types --language python --models-only` writes it again.

The classes of the contract come with commerce-event-sdk. Own event types are dicts, which `@receiver.on("Name",
model=dict)` gives to a handler. Properties and values that are not listed here may come; ignore what you do not know.
"""

# @@MODELS@@
