"""The rules of the contract, by kind: each module has a `RULES` table, name to function."""
