# what this machine has
vise cpu --json
