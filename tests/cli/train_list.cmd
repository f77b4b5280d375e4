vise train --list | head -n 12
vise finetune --list --json | head -n 2
vise train --list x
