"""From requests and study files to runs, and to the steps that make them; nothing is computed here."""
