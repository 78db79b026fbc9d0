"""What reads strangers' files and texts, fed with good ones that were changed: by hypothesis here, by `make fuzz` too."""
