"""Where private keys live: files, other programs, plug-ins, and nowhere (keyless)."""
