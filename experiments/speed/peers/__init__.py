"""Other implementations, called through their public interfaces; one file each."""
