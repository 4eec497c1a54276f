"""Mixed models of standardised scores, what they estimate, and how sure that is."""
