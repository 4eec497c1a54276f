"""Files of audio: what they are, what is decoded of them and why not, and deformed copies."""
