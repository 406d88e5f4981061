"""How identities and batches are divided over devices and processes, and what travels between them."""
