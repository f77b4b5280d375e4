# a network without floating point: the same logits at every level
tiny m.vise 1
folders set
vise compress m.vise i.vise --pass integer --calib set
vise info i.vise --layers | grep -E 'history|integer|patch|blocks.0'
vise run i.vise set/ant/1.ppm --json --logits --cpu c | sed "s/.*logits//" >c.txt
vise run i.vise set/ant/1.ppm --json --logits | sed "s/.*logits//" | cmp - c.txt || echo levels differ
vise compress i.vise x.vise --pass integer --calib set
vise compress m.vise x.vise --pass integer
ls x.vise
