"""Event classes and handlers for receivers, in several languages, made of the contract."""
