"""The configuration: its sections, what they mean together, and the tables of variants."""
