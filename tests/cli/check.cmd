# the kernel checker on the level that every machine has
vise check --cpu c --rounds 20 --seed 3
vise check --cpu c --rounds 5 --json gelu
vise check --list --cpu c
vise check --list --cpu c --json quant_s8
